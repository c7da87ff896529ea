// Package recall keeps, for a while and across restarts, the little that sessions have asked to be remembered and that their ids cannot carry.
//
// It owns a store of small texts by session and the bounds of it: how long one is kept, how large it may be, how many there are of a user and of all. It is apart from the config store, since each write there is a change of the
// configuration for everyone, and what a client subscribes to is none.
//
// It deliberately does not know what the texts say, nor what a session is.
//
// Invariants: what Keep has acknowledged survives a kill; a text is sealed, and bound to its session; keys show neither users nor sessions; whoever asks for a session without a text is answered from memory. A text that
// cannot be opened is as good as none. A file of something else is refused untouched. Where there are too many, the oldest go: first of the user, then of all.
//
// Lifetimes: a text lives until Forget, or for Life after it was last kept. A Store lives from Open to Close, and has no goroutines.
package recall
