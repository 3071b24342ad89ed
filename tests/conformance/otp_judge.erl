%% Runs supervisor scripts on OTP's own `supervisor` and prints what it saw: the judge of test_against_otp.py.
%%
%% A script is {Number, Flags, Children, Outcomes, Batches}. Children are {Id, Restart, Significant}; Outcomes are
%% {Id, [up | fail | ignore]} for its starts, one after the other; a batch is a list of operations that are all sent
%% while the supervisor is suspended. Output, one line each: `script N`, then `start a`, `ask a`, `up`, `answer ...`,
%% `finish`, `failed`.
-module(otp_judge).
-export([main/1, init/1, start/1]).

main([File]) ->
    {ok, Scripts} = file:consult(File),
    process_flag(trap_exit, true),
    error_logger:tty(false),
    logger:set_primary_config(level, none),
    try lists:foreach(fun run/1, Scripts) of
        ok -> halt(0)
    catch
        Class:Reason:Stack ->
            io:format(standard_error, "~p:~p ~p~n", [Class, Reason, Stack]),
            halt(1)
    end.

init({Flags, Children}) ->
    {ok, {Flags, [child(Child) || Child <- Children]}}.

child({Id, Restart, Significant}) ->
    #{id => Id, start => {?MODULE, start, [Id]}, restart => Restart, significant => Significant, shutdown => infinity}.

%% The recorder knows what starts come to, and which life of which child a pid is.

start(Id) ->
    case ask({start, Id}) of
        fail -> {error, bad_start};
        ignore -> ignore;
        up ->
            Pid = spawn_link(fun() -> process_flag(trap_exit, true), live(Id) end),
            ask({born, Id, Pid}),
            {ok, Pid}
    end.

live(Id) ->
    receive
        {die, Reason} -> exit(Reason);
        {'EXIT', _, Reason} -> ask({say, {ask, Id}}), exit(Reason)
    end.

ask(What) ->
    recorder ! {self(), What},
    receive {recorder, Answer} -> Answer end.

recorder(Outcomes, Lives, Births) ->
    receive
        {From, {start, Id}} ->
            say({start, Id}),
            {Outcome, Rest} = next(Id, Outcomes),
            From ! {recorder, Outcome},
            recorder(Rest, Lives, Births);
        {From, {born, Id, Pid}} ->
            Number = maps:get(Id, Births, 0) + 1,
            From ! {recorder, ok},
            recorder(Outcomes, Lives#{Pid => {Id, Number}}, Births#{Id => Number});
        {From, {say, What}} ->
            say(What),
            From ! {recorder, ok},
            recorder(Outcomes, Lives, Births);
        {From, {life, Pid}} ->
            From ! {recorder, maps:get(Pid, Lives, Pid)},
            recorder(Outcomes, Lives, Births);
        {From, {alive, Id}} ->
            Pids = [Pid || {Pid, {Known, _}} <- maps:to_list(Lives), Known =:= Id, is_process_alive(Pid)],
            From ! {recorder, Pids},
            recorder(Outcomes, Lives, Births);
        {From, stop} ->
            From ! {recorder, ok}
    end.

next(Id, Outcomes) ->
    case maps:get(Id, Outcomes, []) of
        [] -> {up, Outcomes};
        [First | Rest] -> {First, Outcomes#{Id => Rest}}
    end.

say({answer, Value}) -> io:format("answer ~0p~n", [Value]);
say({Verb, Id}) -> io:format("~s ~s~n", [Verb, Id]);
say(Verb) -> io:format("~s~n", [Verb]).

%% One script.

run({Number, Flags, Children, Outcomes, Batches}) ->
    io:format("script ~b~n", [Number]),
    Recorder = spawn_link(fun() -> recorder(maps:from_list(Outcomes), #{}, #{}) end),
    register(recorder, Recorder),
    case supervisor:start_link(?MODULE, {Flags, Children}) of
        {ok, Sup} ->
            say(up),
            batches(Batches, Sup);
        {error, {shutdown, {failed_to_start_child, Id, bad_start}}} ->
            say({failed, Id})
    end,
    ask(stop),
    receive {'EXIT', Recorder, normal} -> flush() end.

flush() ->
    receive _ -> flush() after 0 -> ok end.

batches([], Sup) ->
    finish(Sup, fun() -> exit(Sup, shutdown) end);
batches([Batch | Rest], Sup) ->
    erlang:suspend_process(Sup),
    Callers = lists:flatmap(fun(Operation) -> send(Operation, Sup) end, Batch),
    erlang:resume_process(Sup),
    case settled(Sup) of
        up ->
            answers(Callers),
            batches(Rest, Sup);
        down ->
            answers(Callers),
            finish(Sup, fun() -> ok end)
    end.

send({exit, Id, Reason}, _Sup) ->
    case ask({alive, Id}) of
        [Pid] ->
            Monitor = monitor(process, Pid),
            Pid ! {die, Reason},
            receive {'DOWN', Monitor, process, Pid, _} -> [] end;
        [] -> []
    end;
send({call, Request}, Sup) ->
    Self = self(),
    Caller = spawn(fun() -> Self ! {answer, self(), catch call(Sup, Request)} end),
    blocked(Caller),
    [Caller].

call(Sup, {start_child, Child}) -> supervisor:start_child(Sup, child(Child));
call(Sup, {restart_child, Id}) -> supervisor:restart_child(Sup, Id);
call(Sup, {terminate_child, Id}) -> supervisor:terminate_child(Sup, Id);
call(Sup, {delete_child, Id}) -> supervisor:delete_child(Sup, Id);
call(Sup, {get_spec, Id}) -> supervisor:get_childspec(Sup, Id);
call(Sup, which_children) -> {children, supervisor:which_children(Sup)};
call(Sup, count_children) -> {counts, supervisor:count_children(Sup)}.

blocked(Caller) ->
    case process_info(Caller, status) of
        {status, waiting} -> ok;
        _ -> erlang:yield(), blocked(Caller)
    end.

settled(Sup) ->
    Info = process_info(Sup, [status, message_queue_len, current_function]),
    case Info of
        undefined -> down;
        [{status, waiting}, {message_queue_len, 0}, {current_function, {Module, Function, _}}]
          when {Module, Function} =:= {gen_server, loop}; {Module, Function} =:= {erlang, hibernate} -> up;
        _ -> erlang:yield(), settled(Sup)
    end.

answers(Callers) ->
    [receive {answer, Caller, Answer} -> say({answer, shown(Answer)}) end || Caller <- Callers].

finish(Sup, Stop) ->
    Stop(),
    receive
        {'EXIT', Sup, Reason} -> say({finish, Reason})
    end.

shown({children, Rows}) -> lists:reverse([{Id, shown(Pid)} || {Id, Pid, _, _} <- Rows]);
shown({counts, Counts}) -> [proplists:get_value(Key, Counts) || Key <- [specs, supervisors, workers]];
shown({ok, undefined}) -> none;
shown({ok, Spec}) when is_map(Spec) -> maps:get(restart, Spec);
shown({ok, Pid}) -> shown(Pid);
shown(undefined) -> none;
shown({error, {already_started, Pid}}) -> {already_started, shown(Pid)};
shown({error, bad_start}) -> start_failed;
shown({error, {bad_start, _}}) -> start_failed;
shown({error, Reason}) -> Reason;
shown({'EXIT', _}) -> ended;
shown(Pid) when is_pid(Pid) -> ask({life, Pid});
shown(Other) -> Other.
