%% Runs scripts on OTP's own `supervisor` and prints what was seen: the judge of test_against_otp.py.
%%
%% A script is {Number, Top, Outcomes, Batches, End}, see scripts.py. Output: one line a script, `Number`, a tab, and the
%% trace: `start a`, `end a killed`, `up`, `answer ...`, `failed s1/a`, `refused`, with bars between them.
-module(otp_judge).
-export([main/1, init/1, start_leaf/3, start_tree/2]).

-define(SLOW, 150).

main([File, Workers]) ->
    {ok, Scripts} = file:consult(File),
    error_logger:tty(false),
    logger:set_primary_config(level, none),
    Self = self(),
    Share = spawn_link(fun() -> share(Scripts) end),
    Pids = [spawn_link(fun() -> process_flag(trap_exit, true), work(Share), Self ! {done, self()} end)
            || _ <- lists:seq(1, list_to_integer(Workers))],
    [receive {done, Pid} -> ok end || Pid <- Pids],
    halt(0).

share(Scripts) ->
    receive
        {From, next} when Scripts =:= [] -> From ! {script, none}, share([]);
        {From, next} -> From ! {script, hd(Scripts)}, share(tl(Scripts))
    end.

work(Share) ->
    Share ! {self(), next},
    receive
        {script, none} -> ok;
        {script, Script} ->
            try run(Script) catch Class:Reason:Stack -> io:format("~b\tbroken ~0p~n", [element(1, Script), {Class, Reason, Stack}]) end,
            work(Share)
    end.

%% Supervisors and children.

init({Recorder, {tree, Id, Flags, Children, _}}) ->
    ask(Recorder, {born, Id, self(), true}),
    {ok, {Flags, [child(Recorder, Child) || Child <- Children]}};
init({Recorder, {pool, Id, Flags, {leaf, _, Options, Manner}, _}}) ->
    ask(Recorder, {born, Id, self(), true}),
    Start = {?MODULE, start_leaf, [Recorder, Manner]},
    {ok, {Flags#{strategy => simple_one_for_one}, [Options#{id => template, start => Start}]}}.

child(Recorder, {leaf, Id, Options, Manner}) ->
    Options#{id => Id, start => {?MODULE, start_leaf, [Recorder, Manner, Id]}};
child(Recorder, {tree, Id, _, _, Options} = Tree) ->
    Options#{id => Id, start => {?MODULE, start_tree, [Recorder, Tree]}, type => supervisor};
child(Recorder, {pool, Id, _, _, Options} = Pool) ->
    Options#{id => Id, start => {?MODULE, start_tree, [Recorder, Pool]}, type => supervisor}.

start_tree(Recorder, Tree) -> supervisor:start_link(?MODULE, {Recorder, Tree}).

start_leaf(Recorder, Manner, Id) ->
    case ask(Recorder, {start, Id}) of
        fail -> {error, bad_start};
        ignore -> ignore;
        Outcome ->
            Pid = spawn_link(fun() -> process_flag(trap_exit, Manner =/= obey), live(Manner) end),
            ask(Recorder, {born, Id, Pid, false}),
            Outcome =:= dies andalso die(Pid, boom),
            {ok, Pid}
    end.

die(Pid, Reason) ->
    Monitor = monitor(process, Pid),
    case Reason of
        kill -> exit(Pid, kill);
        _ -> Pid ! {die, Reason}
    end,
    receive {'DOWN', Monitor, process, Pid, _} -> ok end.

live(Manner) ->
    receive
        {die, Reason} -> exit(Reason);
        {'EXIT', _, Reason} -> stop(Manner, Reason)
    end.

stop(slow, Reason) -> receive after ?SLOW -> exit(Reason) end;
stop(stuck, _) -> receive after infinity -> ok end;
stop(odd, _) -> exit(boom);
stop(leave, _) -> exit(normal).

%% The recorder knows what starts come to, which life of whom a pid is, and keeps the trace.

ask(Recorder, What) ->
    Recorder ! {self(), What},
    receive {Recorder, Answer} -> Answer end.

recorder(#{outcomes := Outcomes, births := Births, pids := Pids, alive := Alive, trace := Trace} = State) ->
    receive
        {'DOWN', _, process, Pid, Reason} ->
            {Id, _} = maps:get(Pid, Pids),
            recorder(State#{alive := maps:remove(Pid, Alive), trace := [{ended, Id, class(Reason)} | Trace]});
        {From, What} ->
            {Answer, New} =
                case What of
                    {start, Id} ->
                        {Outcome, Rest} = next(maps:get(Id, Outcomes, [])),
                        {Outcome, State#{outcomes := Outcomes#{Id => Rest}, trace := [{start, Id} | Trace]}};
                    {born, Id, Pid, Supervisor} ->
                        monitor(process, Pid),
                        Number = maps:get(Id, Births, 0) + 1,
                        Said = if Supervisor -> [{start, Id} | Trace]; true -> Trace end,
                        {ok, State#{births := Births#{Id => Number}, pids := Pids#{Pid => {Id, Number}},
                                    alive := Alive#{Pid => {Id, Supervisor}}, trace := Said}};
                    {say, Line} -> {ok, State#{trace := [Line | Trace]}};
                    {life, Pid} -> {maps:get(Pid, Pids, Pid), State};
                    {alive, Id} -> {[Pid || {Pid, {Known, _}} <- maps:to_list(Alive), Known =:= Id], State};
                    {last, Id} ->
                        Life = {Id, maps:get(Id, Births, 0)},
                        {[Pid || {Pid, Known} <- maps:to_list(Pids), Known =:= Life], State};
                    supervisors -> {[Pid || {Pid, {_, true}} <- maps:to_list(Alive)], State};
                    living -> {maps:size(Alive), State};
                    trace -> {lists:reverse(Trace), State}
                end,
            From ! {self(), Answer},
            What =:= trace orelse recorder(New)
    end.

next([]) -> {up, []};
next([First | Rest]) -> {First, Rest}.

class(normal) -> normal;
class(shutdown) -> shutdown;
class({shutdown, _}) -> shutdown;
class(killed) -> killed;
class(_) -> crash.

%% One script.

run({Number, Top, Outcomes, Batches, End}) ->
    First = #{outcomes => Outcomes, births => #{}, pids => #{}, alive => #{}, trace => []},
    Recorder = spawn_link(fun() -> recorder(First) end),
    put(recorder, Recorder),
    Start = start_tree(Recorder, Top),
    case Start of
        {ok, Sup} ->
            settled(none),
            say(up),
            [batch(Sup, Batch) || Batch <- Batches],
            finish(Sup, End);
        {error, {shutdown, _} = Reason} ->
            everybody_is_gone(),
            say({failed, path(Reason)});
        {error, _} -> ok
    end,
    Trace = case Start of
        {error, What} when element(1, What) =/= shutdown -> ask(Recorder, trace), [refused];
        _ -> ask(Recorder, trace)
    end,
    io:format("~b\t~s~n", [Number, lists:join("|", [line(Line) || Line <- Trace])]),
    receive {'EXIT', Recorder, _} -> flush() end.

say(Line) -> ask(get(recorder), {say, Line}).

line({start, Id}) -> io_lib:format("start ~s", [Id]);
line({ended, Id, Class}) -> io_lib:format("end ~s ~s", [Id, Class]);
line({answer, Value}) -> io_lib:format("answer ~0p", [Value]);
line({failed, Path}) -> io_lib:format("failed ~s", [Path]);
line(Word) -> io_lib:format("~s", [Word]).

path({shutdown, {failed_to_start_child, Id, Reason}}) ->
    case Reason of
        {shutdown, _} -> [atom_to_list(Id), "/", path(Reason)];
        _ -> atom_to_list(Id)
    end.

flush() -> receive _ -> flush() after 0 -> ok end.

finish(Sup, End) ->
    case is_process_alive(Sup) of
        true ->
            say(stopping),
            case End of
                kill -> say('('), exit(Sup, kill), everybody_is_gone(), say(')');
                _ -> exit(Sup, End)
            end;
        false -> ok
    end,
    everybody_is_gone().

everybody_is_gone() ->
    case ask(get(recorder), living) of
        0 -> ok;
        _ -> pause(), everybody_is_gone()
    end.

pause() ->
    case get(pauses) of
        Few when is_integer(Few), Few > 0 -> put(pauses, Few - 1), erlang:yield();
        _ -> put(pauses, 50), receive after 1 -> ok end
    end.

batch(Top, {Gap, Target, Steps}) ->
    receive after Gap -> ok end,
    case ask(get(recorder), {alive, Target}) of
        [Sup] ->
            erlang:suspend_process(Sup),
            Callers = lists:flatmap(fun(Step) -> step(Step, Sup, Top) end, Steps),
            erlang:resume_process(Sup),
            settled(none),
            [receive {answer, Caller, Answer} -> say({answer, shown(Answer)}) end || Caller <- Callers];
        [] -> ok
    end.

step({exit, Id, Reason}, Sup, _) ->
    case ask(get(recorder), {alive, Id}) of
        [Pid] -> die(Pid, Reason), settled(Sup), [];
        [] -> []
    end;
step({kill, Id}, Sup, _) ->
    case ask(get(recorder), {alive, Id}) of
        [Pid] -> say('('), die(Pid, kill), settled(Sup), say(')'), [];
        [] -> []
    end;
step({stranger, Reason}, Sup, _) ->
    Stranger = spawn(fun() -> exit(Sup, Reason) end),
    Monitor = monitor(process, Stranger),
    receive {'DOWN', Monitor, process, Stranger, _} -> [] end;
step({stop, Reason}, Sup, Sup) -> exit(Sup, Reason), [];
step({call, {spec_dynamic, Id}}, Sup, _) ->
    case ask(get(recorder), {alive, Id}) of
        [Pid] -> step({call, {get_spec, Pid}}, Sup, none);
        [] -> [] % OTP gives the template for any pid
    end;
step({call, Request}, Sup, _) ->
    Self = self(),
    Recorder = get(recorder),
    Caller = spawn(fun() -> Self ! {answer, self(), catch call(Sup, Request, Recorder)} end),
    blocked(Caller),
    [Caller].

call(Sup, {start, Spec}, Recorder) -> supervisor:start_child(Sup, child(Recorder, Spec));
call(Sup, {start_dynamic, Id}, _) -> supervisor:start_child(Sup, [Id]);
call(Sup, {restart, Id}, _) -> supervisor:restart_child(Sup, Id);
call(Sup, {terminate, Id}, _) -> supervisor:terminate_child(Sup, Id);
call(Sup, {delete, Id}, _) -> supervisor:delete_child(Sup, Id);
call(Sup, {get_spec, Id}, _) -> supervisor:get_childspec(Sup, Id);
call(Sup, {terminate_dynamic, Id}, Recorder) ->
    case supervisor:terminate_child(Sup, last(Recorder, Id)) of
        ok -> terminated; % also of a pid that is dead; Elixir and ours say not_found then
        {error, not_found} -> terminated
    end;
call(Sup, which, _) -> {children, supervisor:which_children(Sup)};
call(Sup, count, _) -> {counts, [specs, supervisors, workers], supervisor:count_children(Sup)};
call(Sup, count_dynamic, _) -> {counts, [supervisors, workers], supervisor:count_children(Sup)};
call(Sup, census, _) -> {counts, [active, supervisors, workers], supervisor:count_children(Sup)}.

last(Recorder, Id) ->
    case ask(Recorder, {last, Id}) of
        [Pid] -> Pid;
        [] -> spawn(fun() -> ok end)
    end.

blocked(Caller) ->
    case process_info(Caller, [status, current_function]) of
        [{status, waiting}, {current_function, {gen, _, _}}] -> ok;
        undefined -> ok;
        _ -> erlang:yield(), blocked(Caller)
    end.

%% All supervisors but the suspended one wait for mail and have none.
settled(Suspended) -> settled(Suspended, 2).

settled(_, 0) -> ok;
settled(Suspended, Times) ->
    case [Sup || Sup <- ask(get(recorder), supervisors), Sup =/= Suspended, not idle(Sup)] of
        [] -> erlang:yield(), settled(Suspended, Times - 1);
        _ -> pause(), settled(Suspended, 2)
    end.

idle(Sup) ->
    case process_info(Sup, [status, message_queue_len, current_function]) of
        undefined -> false;
        [{status, waiting}, {message_queue_len, 0}, {current_function, {Module, Function, _}}] ->
            {Module, Function} =:= {gen_server, loop} orelse {Module, Function} =:= {erlang, hibernate};
        _ -> false
    end.

shown({children, Rows}) ->
    case [Id || {Id, _, _, _} <- Rows, Id =/= undefined] of
        [] -> lists:sort([shown(Pid) || {_, Pid, _, _} <- Rows]);
        _ -> [{Id, shown(Pid), Type} || {Id, Pid, Type, _} <- lists:reverse(Rows)]
    end;
shown({counts, Keys, Counts}) -> [proplists:get_value(Key, Counts) || Key <- Keys];
shown({ok, undefined}) -> none;
shown({ok, #{id := _} = Spec}) ->
    [maps:get(restart, Spec), maps:get(shutdown, Spec), maps:get(significant, Spec), maps:get(type, Spec)];
shown({ok, Pid}) -> shown(Pid);
shown(undefined) -> none;
shown({error, {already_started, Pid}}) -> {already_started, shown(Pid)};
shown({error, bad_start}) -> start_failed;
shown({error, {bad_start, _}}) -> start_failed;
shown({error, {shutdown, {failed_to_start_child, _, _}}}) -> start_failed;
shown({error, {{shutdown, {failed_to_start_child, _, _}}, _}}) -> start_failed;
shown({error, {bad_combination, _}}) -> invalid;
shown({error, Reason}) -> Reason;
shown({'EXIT', _}) -> ended;
shown(Pid) when is_pid(Pid) -> ask(get(recorder), {life, Pid});
shown(Other) -> Other.
