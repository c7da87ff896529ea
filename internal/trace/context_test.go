package trace_test

import (
	"strings"
	"testing"

	"mcpsidecar/internal/trace"
)

const (
	traceID = "0af7651916cd43dd8448eb211c80319c"
	spanID  = "00f067aa0ba902b7"
	good    = "00-" + traceID + "-" + spanID + "-01"
)

func TestRead(t *testing.T) {
	long := strings.Repeat("k=v,", 31)
	for _, test := range []struct {
		what, parent, state   string
		wantParent, wantState string
	}{
		{"a context", good, "rojo=00f067aa0ba902b7,congo=t61", good, "rojo=00f067aa0ba902b7,congo=t61"},
		{"a context without state", good, "", good, ""},
		{"other flags", good[:53] + "a2", "", good[:53] + "a2", ""},
		{"a version to come", "cc" + good[2:], "", "cc" + good[2:], ""},
		{"a version to come, longer", "cc" + good[2:] + "-what-the-future-brings", "", "cc" + good[2:] + "-what-the-future-brings", ""},
		{"a longer version to come that does not part", "cc" + good[2:] + ".x", "", "", ""},
		{"a version to come that is too long", "cc" + good[2:] + "-" + strings.Repeat("x", 128), "", "", ""},
		{"a version to come with a line break", "cc" + good[2:] + "-\r\nX: y", "", "", ""},
		{"the version that is none", "ff" + good[2:], "", "", ""},
		{"version 0, longer", good + "-x", "", "", ""},
		{"nothing", "", "a=b", "", ""},
		{"capitals", strings.ToUpper(good), "", "", ""},
		{"no trace", "00-" + strings.Repeat("0", 32) + "-" + spanID + "-01", "", "", ""},
		{"no span", "00-" + traceID + "-" + strings.Repeat("0", 16) + "-01", "", "", ""},
		{"short", good[:54], "", "", ""},
		{"another shape", strings.Replace(good, "-", "_", 1), "", "", ""},
		{"no hexadecimals", strings.Replace(good, "0af", "0ag", 1), "", "", ""},
		{"space around", " " + good, "", "", ""},
		{"a state that is malformed", good, "rojo", good, ""},
		{"a state with one key twice", good, "a=1,a=2", good, ""},
		{"a state with a line break", good, "a=1\r\nX-Evil: y", good, ""},
		{"a state that is too long", good, "a=" + strings.Repeat("x", 250) + ",b=" + strings.Repeat("x", 250) + ",c=xxxxxxxxxxx", good, ""},
		{"a state with many members", good, long + long, good, ""},
	} {
		t.Run(test.what, func(t *testing.T) {
			c := trace.Read(test.parent, test.state)
			if c.Parent() != test.wantParent || c.State() != test.wantState {
				t.Errorf("read %q and %q, want %q and %q", c.Parent(), c.State(), test.wantParent, test.wantState)
			}
			if c.IsZero() != (test.wantParent == "") {
				t.Errorf("IsZero is %t", c.IsZero())
			}
			if want := map[bool]string{true: "", false: traceID}[c.IsZero()]; c.TraceID() != want {
				t.Errorf("the trace is %q, want %q", c.TraceID(), want)
			}
		})
	}
}

func TestReadHeader(t *testing.T) {
	for _, test := range []struct {
		what          string
		parent, state []string
		wantParent    string
		wantState     string
	}{
		{"nothing", nil, nil, "", ""},
		{"one of each", []string{good}, []string{"a=1"}, good, "a=1"},
		{"a state in parts", []string{good}, []string{"a=1", "b=2"}, good, "a=1,b=2"},
		{"two parents", []string{good, good}, []string{"a=1"}, "", ""},
		{"a state in far too many parts", []string{good}, strings.Split(strings.Repeat("a=1,", 400), ","), good, ""},
	} {
		t.Run(test.what, func(t *testing.T) {
			if c := trace.ReadHeader(test.parent, test.state); c.Parent() != test.wantParent || c.State() != test.wantState {
				t.Errorf("read %q and %q, want %q and %q", c.Parent(), c.State(), test.wantParent, test.wantState)
			}
		})
	}
}

func TestValidBaggage(t *testing.T) {
	for text, want := range map[string]bool{
		"user=alice,region=eu": true, "": false, "a=\r\nX: y": false, "ä=1": false, "a=" + strings.Repeat("x", 8190): true, "a=" + strings.Repeat("x", 8191): false,
	} {
		if got := trace.ValidBaggage(text); got != want {
			t.Errorf("ValidBaggage(%.40q) is %t", text, got)
		}
	}
}

// Whatever comes, what is passed on can stand in a header and in JSON, is bounded, and is read again as it is.
func FuzzRead(f *testing.F) {
	f.Add(good, "rojo=00f067aa0ba902b7")
	f.Add("cc"+good[2:]+"-x", "a@b=c")
	f.Add(good, "a=\"\\")
	f.Fuzz(func(t *testing.T, parent, state string) {
		c := trace.Read(parent, state)
		if c.IsZero() {
			if c.State() != "" || c.TraceID() != "" {
				t.Fatalf("no context has %q", c.State())
			}
			return
		}
		if c.Parent() != parent || (c.State() != state && c.State() != "") || len(c.Parent()) > 128 || len(c.State()) > 512 {
			t.Fatalf("%q and %q became %q and %q", parent, state, c.Parent(), c.State())
		}
		for _, text := range []string{c.Parent(), c.State()} {
			if strings.ContainsFunc(text, func(r rune) bool { return r != '\t' && (r < 0x20 || r > 0x7e) }) {
				t.Fatalf("%q cannot stand in a header", text)
			}
		}
		if again := trace.Read(c.Parent(), c.State()); again != c {
			t.Fatalf("%v is read again as %v", c, again)
		}
	})
}
