package main

import (
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// fresh knows the connections on which no request has come yet. http.Server.Shutdown would give each of them five seconds, for nothing: no request of theirs is lost when they are
// closed, because none was begun.
type fresh struct {
	count atomic.Int64 // of conns; while it is 0, which is nearly always, requests cost one load
	conns sync.Map     // net.Conn → nothing; an entry dies with the first byte, or the connection
}

// note is an http.Server's ConnState.
func (f *fresh) note(conn net.Conn, state http.ConnState) {
	switch {
	case state == http.StateNew:
		f.count.Add(1)
		f.conns.Store(conn, nil)
	case f.count.Load() > 0:
		if _, was := f.conns.LoadAndDelete(conn); was {
			f.count.Add(-1)
		}
	}
}

// close closes them.
func (f *fresh) close() {
	f.conns.Range(func(conn, _ any) bool {
		conn.(net.Conn).Close()
		return true
	})
}
