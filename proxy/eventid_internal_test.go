package proxy

import "testing"

// FuzzEventIDs: nothing but what was written is read, in its own session alone, and nothing panics.
func FuzzEventIDs(f *testing.F) {
	ids := newEventIDs([32]byte{1})
	written := ids.write("mine", streamName{kind: answerStream, number: [8]byte{1, 2, 3}, request: `"r-1"`})
	for _, seed := range []string{"", ".", "1", written, written + ".", written + ".7", written + ".-7", written + ".18446744073709551616", written[1:] + ".7", written + "A.7", "." + written} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		name, _, ok := ids.read("mine", id)
		if !ok {
			return
		}
		if name.kind != answerStream || name.request != `"r-1"` {
			t.Errorf("%q was never written", id)
		}
		if _, _, ok := ids.read("yours", id); ok {
			t.Errorf("%q is of another session", id)
		}
	})
}
