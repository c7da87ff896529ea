// Package proxy is the data path: the MCP endpoint in front of all servers.
//
// It owns /mcp and /mcp/{slug}: reading a request, its era, its session, which servers and tools the caller has, the call, the answer's way back, and the accounting. The road of a request, file by
// file: endpoint.go (who, where, which body) → scope.go (mode, agent, selection) → era.go (modern or legacy, headers against body) → legacy.go or modern.go (methods) → list.go or call.go, and
// for prompts, resources and completions surfaces.go or use.go (keep.go keeps what servers list, renew.go fetches it anew when it is another, or may be, and learn.go for clients that listen and have it from an earlier life of the program) → relay.go (the answer) → account.go (metrics, audit); trace.go has its spans, and what servers are told of them. failure.go alone chooses statuses, codes and words.
//
// What servers ask clients: able.go says whether the client can answer at all. Then it depends on the eras. A legacy client is asked on the call's stream (ask.go, talk.go; play.go where the server is modern) or, outside of calls, on
// its standing stream (standing.go). A modern client gets what a modern server wants as it is, with a ticket for its state (state.go); what a legacy server asks parks the call until the client's next request (park.go), with everything else that
// it has asked by then. What a legacy server asks on its standing stream goes to the client's standing stream or, if there is none, to the call that began last; of a modern client it is asked in the one call under way,
// and so that there is one, calls get sessions for themselves at servers that do so (apart.go). open.go is the error by which legacy servers ask for a link to be opened.
//
// A server of both eras is spoken to as a modern one, with one exception: for a legacy client that can be asked something it is a legacy one, if it keeps sessions as such; there are servers that can ask only there, and a
// session gives such a client all that it would have without us. Whether a server speaks the older era it need not say: it is asked once, with the first such session. Nobody else loses anything: progress and log messages come with the call, and of lists that change a modern server tells as well. Tasks are another matter: what such
// a server has of them it has in one era or in the other, which is asked (older.go), and a legacy client's way there becomes a session with the first of its tasks.
//
// A legacy client that loses a connection can come back for what it missed, with Last-Event-ID: eventid.go (ids name a stream of one session, and are authenticated), feed.go (what is kept of each stream), larder.go (of one user, and of all), outlet.go
// (how an answer goes out, and a call goes on without its client; a request that stays silent begins its stream, so that there is something to come back to), carrier.go (GET: a standing stream, or the way back). The answer to
// a request that is not kept any more is an error that says so, also after a restart: nobody waits for ever.
//
// Tasks are requests whose result is fetched later: tasks.go (what is asked about one), taskid.go (ids of ours, which carry where a task is), tasklist.go and tasknews.go (what legacy servers list and tell), tasklisten.go (what modern ones tell), taskbook.go (whose it is),
// taskplay.go (tools that can be nothing else, for clients that call them plainly), taskacross.go (tasks of servers of the other era), taskfollow.go and taskkept.go (modern ones, for legacy clients), taskfetch.go and taskvigil.go (the reverse). extension.go is methods that the specification does not know, and extensionback.go those that servers use; announce.go says what of all that a client is offered.
//
// Subscriptions to resources, in every combination of eras: subscribe.go (resources/subscribe) and listen.go (subscriptions/listen) make them, a watcher (watcher.go) is all of one client, and each hangs on a board (board.go), which is
// one way to a server: the stream that everybody shares who has the same credential or, at a legacy server that the client has called, the client's own session (own.go), for some servers tell of a change only there. A watcher
// moves what hangs wrong, with the client's first call, an edit or another account, and keeps what is updated, each resource once, until the client has taken it. How a server is made to tell is upstream's business.
//
// It deliberately does not know how servers are configured or credentials are obtained: it is handed snapshots, and headers.
//
// Invariants: what was judged is what is forwarded; listing and calling ask the same policy; a denied tool and one that does not exist get the same answer; nothing of one caller reaches another; nobody is
// asked for what it has not declared, and an answer goes to the one server that asked, once. A subscription is judged when it is made and again by the rules of the moment whenever something is told; one to what may not be seen gets the answer
// of one that does not exist, and no server hears of it. What may have been missed, because a server, a stream or a right to see was gone for a while, is told as an update once.
//
// Lifetimes:
//   - A snapshot (snapshot.go) is immutable; Load publishes a new one. A request works on the one it found.
//   - A link (link.go) is the live side of one server: connections, lists, sessions. It lives as long as the fields it connects with are unchanged, and is closed when its last request ended.
//   - A session (session.go) is a sealed id that its client keeps; what it holds in memory is made on demand and dies by DELETE, after half an hour without use, or with the process, and is then made anew.
//   - A feed (feed.go) is its session's. That of an answer is kept until its call is over and for five minutes after, or half a minute if it seems to have arrived; a standing one for a minute after its connection. What does not
//     fit is given up, the oldest first. A call of a legacy client runs in the goroutine of its request also when the connection is gone, for as long as a client may be away.
//   - A question to a legacy client is its session's until somebody takes it: an answer, the server, the end of the call, or time. A parked call is the parking's until a retry takes it, or time; it holds its link. Both die with the process; an answer to a question of an earlier life of the session (its id says so, and is
//     authenticated) is accepted and dropped.
//   - A vigil (taskvigil.go) is the parking's as a parked call is; it ends with its task, with five minutes in which nobody has asked or answered anything, or with the process, and then the server's questions are refused.
//   - A task is its server's. Its id carries, sealed, all that it takes to ask about it; what the book remembers of tasks is a help for lists and news, bounded, and dies with the process.
//   - A subscription of a modern client lives as long as its stream. That of a legacy client is its session's: while nobody uses the session, no server is bothered with it, and after a day it is forgotten. It outlives the process, as does the level
//     of log messages (remember.go): both are kept outside before they are acknowledged, and what cannot be kept is refused. A session that is made anew has them again, judged anew, and its client is told once of each resource that it may
//     have changed. DELETE drops them.
//   - A standing stream, of either era, is answered on a goroutine of the gate's (detach.go), with a turn of its own; the work that Drain waits for includes it. It ends at once with what let it in (allowance.go): its token, or its user.
//   - Goroutines: one sweeper and one attendant (outlet.go) per Proxy, and from the latter one for each write to a connection that is silent; one reader per call in which a legacy client was asked something, which ends with the call; one listener per legacy session, or way of a modern client, that can be asked and server that it has called; one per vigil; per link, credential and kind of list one fetch at most, and one standing listener where the server announces list changes or somebody has subscribed; one listener per way of a client's own on which subscriptions hang, and one per watcher while it moves them. Close ends them and waits.
package proxy
