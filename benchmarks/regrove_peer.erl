%% Erlang beside ours: the same workloads, compiled into a temporary folder by `python -m benchmarks`.
%%     erl +S 1 -noshell -run regrove_peer main WORKLOAD SIZE      prints `name value` lines
-module(regrove_peer).
-behaviour(supervisor).
-export([main/1, init/1, fragile/1, echo/0]).

-define(RING, 1000).
-define(SENDERS, 100).
-define(BURST, 100).

main([Name, Size | Rest]) ->
    Results = run(list_to_atom(Name), list_to_integer(Size), Rest),
    [io:format("~s ~p~n", [Key, float(Value)]) || {Key, Value} <- Results],
    halt(0, [{flush, true}]).

now_s() -> erlang:monotonic_time(nanosecond) / 1.0e9.

run(ping_pong, Size, _) -> [{rate, Size / ring(2, 1, Size)}];
run(ring, Size, _) ->
    Laps = Size div ?RING,
    [{rate, Laps * ?RING / ring(?RING, ?RING, Laps)}];
run(fan_in, Size, _) ->
    Rounds = max(1, Size div (?SENDERS * ?BURST)),
    Begin = now_s(),
    Sink = self(),
    Senders = [spawn(fun() -> sender(Sink) end) || _ <- lists:seq(1, ?SENDERS)],
    sink(Senders, Rounds),
    [{rate, Rounds * ?SENDERS * ?BURST / (now_s() - Begin)}];
run(idle, Size, _) ->
    erlang:garbage_collect(),
    Before = erlang:memory(total),
    Begin = now_s(),
    Pids = [spawn(fun idle/0) || _ <- lists:seq(1, Size)],
    [Pid ! {up, self()} || Pid <- Pids],
    [receive {up, Pid} -> ok end || Pid <- Pids],
    Spent = now_s() - Begin,
    erlang:garbage_collect(),
    [{spawn, Size / Spent}, {bytes, (erlang:memory(total) - Before) / Size}];
run(crash, Size, _) ->
    logger:set_primary_config(level, none),
    {ok, _} = supervisor:start_link(?MODULE, self()),
    First = receive {up, Pid} -> Pid end,
    Begin = now_s(),
    crash(First, Size),
    [{us, (now_s() - Begin) / Size * 1.0e6}];
run(timers, Size, _) ->
    Begin = now_s(),
    Due = erlang:monotonic_time(millisecond) + 1000,
    [erlang:send_after(Due, self(), fire, [{abs, true}]) || _ <- lists:seq(1, Size)],
    Armed = now_s() - Begin,
    receive fire -> ok end,
    First = now_s(),
    [receive fire -> ok end || _ <- lists:seq(2, Size)],
    [{arm, Size / Armed}, {fire, Size / (now_s() - First)}];
run(answer, _, _) -> % the cold start: a process of ours answers one call
    Server = spawn(fun echo/0),
    Server ! {self(), 1},
    receive {answer, 1} -> ok end,
    [{answered, 1}];
run(serve, _, _) -> % the other node: stays until its input ends
    register(far, spawn(fun far/0)),
    io:format("ready~n"),
    _ = io:get_line(""),
    [];
run(Far, Size, [Node | Rest]) ->
    pong = net_adm:ping(list_to_atom(Node)),
    far(Far, Size, {far, list_to_atom(Node)}, Rest).

ring(Count, Tokens, Laps) ->
    Self = self(),
    Pids = [spawn(fun() -> receive {next, Next} -> peer(Next, Self) end end) || _ <- lists:seq(1, Count)],
    [Pid ! {next, Next} || {Pid, Next} <- lists:zip(Pids, tl(Pids) ++ [hd(Pids)])],
    erlang:garbage_collect(),
    Begin = now_s(),
    [Pid ! Laps || Pid <- lists:sublist(Pids, Tokens)],
    [receive done -> ok end || _ <- lists:seq(1, Tokens)],
    now_s() - Begin.

peer(Next, Main) ->
    receive
        0 -> Main ! done, peer(Next, Main);
        Left -> Next ! Left - 1, peer(Next, Main)
    end.

sender(Sink) ->
    [Sink ! Number || Number <- lists:seq(1, ?BURST)],
    receive go -> sender(Sink) end.

sink(_, 0) -> ok;
sink(Senders, Rounds) ->
    take(?SENDERS * ?BURST),
    [Sender ! go || Sender <- Senders, Rounds > 1],
    sink(Senders, Rounds - 1).

take(0) -> ok;
take(Left) -> receive Number when is_integer(Number) -> take(Left - 1) end.

idle() -> receive {up, From} -> From ! {up, self()}, idle() end.

crash(_, 0) -> ok;
crash(Pid, Left) -> Pid ! crash, receive {up, Next} -> crash(Next, Left - 1) end.

init(Main) ->
    Child = #{id => fragile, start => {?MODULE, fragile, [Main]}},
    {ok, {#{strategy => one_for_one, intensity => 1000000, period => 1}, [Child]}}.

fragile(Main) ->
    proc_lib:start_link(erlang, apply, [fun() ->
        proc_lib:init_ack({ok, self()}),
        Main ! {up, self()},
        receive crash -> error(crash) end
    end, []]).

echo() -> receive {From, Value} -> From ! {answer, Value}, echo() end.

%% Between two nodes.

far() ->
    receive
        {call, From, Value} -> From ! {answer, Value}, far();
        {count, From} -> counting(From, 0)
    end.

counting(From, Count) ->
    receive
        stop -> From ! {counted, Count}, far();
        _ -> counting(From, Count + 1)
    end.

far(one_way, Size, Far, [Bytes]) ->
    Message = case list_to_integer(Bytes) of 0 -> 1; Length -> binary:copy(<<"x">>, Length) end,
    Begin = now_s(),
    Far ! {count, self()},
    post(Far, Message, Size),
    Far ! stop,
    receive {counted, Size} -> ok end,
    [{rate, Size / (now_s() - Begin)}];
far(in_flight, Size, Far, _) ->
    Self = self(),
    Each = Size div 1000,
    Begin = now_s(),
    [spawn(fun() -> calls(Far, Each), Self ! done end) || _ <- lists:seq(1, 1000)],
    [receive done -> ok end || _ <- lists:seq(1, 1000)],
    [{rate, Each * 1000 / (now_s() - Begin)}];
far(round_trip, Size, Far, _) ->
    Times = lists:sort([begin Begin = now_s(), calls(Far, 1), now_s() - Begin end || _ <- lists:seq(1, Size)]),
    [{us, lists:nth(Size div 2, Times) * 1.0e6}].

post(_, _, 0) -> ok;
post(Far, Message, Left) -> Far ! Message, post(Far, Message, Left - 1).

calls(_, 0) -> ok;
calls(Far, Left) -> Far ! {call, self(), Left}, receive {answer, Left} -> calls(Far, Left - 1) end.
