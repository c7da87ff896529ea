package proxy

import (
	"cmp"
	"time"
)

// Waiting bounds how long clients wait for servers before they are told what there is without them. Zero values mean the defaults in brackets.
type Waiting struct {
	Hello time.Duration // as they say hello, for servers that have not said yet what they offer; what those say later the next client hears [300ms]
	List  time.Duration // for the list of a server of which there is none at all [5s]
	Stale time.Duration // for a newer list than the old one that there is [300ms]
	Move  time.Duration // with the first call to a server, for subscriptions to go where its changes are told [2s]
}

func (w Waiting) orDefaults() Waiting {
	w.Hello = cmp.Or(w.Hello, 300*time.Millisecond)
	w.List = cmp.Or(w.List, 5*time.Second)
	w.Stale = cmp.Or(w.Stale, 300*time.Millisecond)
	w.Move = cmp.Or(w.Move, 2*time.Second)
	return w
}
