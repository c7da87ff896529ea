// Package audit writes who did what: one JSON object per line, for each call and each change of configuration.
//
// It owns the shape of a record, the escaping and length limits that keep a record one line whatever a client or a server put into it,
// and the file: opening, rotation, failure and recovery.
//
// It deliberately does not know what is worth recording, and never sees arguments, results or tokens.
//
// Invariants: every line is one JSON object of printable characters; with Config.Required no call runs before the record of its beginning has been handed to
// the operating system, and nothing is lost without being counted.
//
// Lifetimes: [Open] starts one goroutine that alone writes to the file; [Log.Close] returns after it has written what was pending and ended.
//
// # Records
//
// Keys come in this order; empty texts and zero numbers are left out, time and kind never. Longer texts are cut and end in "…".
//
//	key         kinds             at most  meaning
//	time        all                        when the record was made, UTC, to the microsecond
//	kind        all                        begin: a call is about to run (only when records are required) · call: it has ended · change: of configuration · gap: see below
//	request_id  begin call change 64       as in X-Request-Id and the program's log
//	trace_id    begin call        32       of the W3C trace context that the request is part of, if there is one
//	token_id    begin call change 64       which token proved the caller
//	role        begin call        16       admin, user or agent
//	user        begin call change 128      on whose behalf
//	server      begin call        64       slug
//	tool        begin call        256      the server's own name of the tool, or what was asked for where no tool was found
//	method      begin call        64       of MCP
//	mode        begin call        16       act or plan
//	agent       begin call        16       root or subagent
//	decision    begin call        16       as policy said: allowed or denied
//	reason      begin call        64       why, in a word
//	rule        begin call        512      the field and entry that decided
//	intent      begin call        2048     what the model said it wants, where the server asks for that
//	outcome     call              32       ok, tool_error, denied, error
//	ms          call                       how long it took, milliseconds
//	bytes_in    begin call                 of the request
//	bytes_out   call                       of the answer
//	action      change            32       create, update, delete, approve, revoke
//	object      change            32       server, token, user, catalog
//	id          change            128      of the object
//	slug        change            64       of a server
//	fields      change            64 × 64  names of what changed, never values
//	since       gap                        when that began
//	lost        gap                        how many records were lost; none if all were kept
//
// A gap tells of a time in which records could not be written, or not fast enough; it stands behind those that were kept meanwhile. A record that is begin without a call of the same request_id belongs to a call whose end is not known.
//
// # When the disk fails
//
// What is pending is kept, up to a limit, and written when the disk is back; what does not fit is counted through Config.Lost and in the gap. A line that was cut short is finished before anything else
// is written, or left behind when the file has been replaced. A log that has been moved away or deleted is noticed within a second and opened anew. When records are required, calls and changes fail
// meanwhile, each with an attempt to write of its own, so the first one after the disk is back succeeds.
//
// A crash of the machine may lose what the operating system had not yet stored, and a crash of the program may cut the last line short; the next start closes it with a newline.
package audit
