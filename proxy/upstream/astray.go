package upstream

import "mcpsidecar/proxy/rpc"

// This file is what a legacy server tells on its standing stream although it belongs to a call: some send reports of progress and log messages over whichever stream is free first.

// tell passes on a notification of the standing stream, whose text may be kept no longer than the call: to the exchange that it belongs to, or else to whoever hears what belongs to none.
func (c *Conn) tell(l *link, m rpc.Message, text []byte) {
	if l.era != Legacy || !c.belongs(m) {
		c.notify(m)
		return
	}
	if own, err := rpc.Read(clone(text)); err != nil || !c.leaveNotification(stray{own, l}) {
		c.notify(m)
	}
}

// belongs says whether a notification may be about an exchange: progress names its own; a log message of a Conn of several clients has no other place to go.
func (c *Conn) belongs(m rpc.Message) bool {
	return m.Method == methodProgress || m.Method == methodLog && c.cfg.Shared
}

// leaveNotification leaves a notification to its exchange. False: there is none, or it takes no more.
func (c *Conn) leaveNotification(s stray) bool {
	if s.message.Method != methodProgress {
		return c.leave(s)
	}
	token := find(s.message.Params, "progressToken")
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := range c.open {
		if e.strays == nil || e.settled.Load() || string(e.id) != string(token) {
			continue
		}
		select {
		case e.strays.inbox <- s:
			return true
		default:
			return false
		}
	}
	return false
}
