package audit_test

import (
	"encoding/json"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"mcpsidecar/internal/audit"
)

// written is the text that a few calls of a log lead to.
func written(t testing.TB, required bool, use func(*audit.Log)) string {
	d := newDisk()
	log, err := audit.Open(audit.Config{Path: "-", Stdout: d, Required: required, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	use(log)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return d.text()
}

func fullCall() *audit.Call {
	return &audit.Call{
		RequestID: "r1", TraceID: "0af7", TokenID: "t1", Role: "agent", User: "alice", Server: "github", Tool: "create_issue", Method: "tools/call", Mode: "plan", Agent: "subagent",
		Decision: "denied", Reason: "in_deny_list", Rule: "tool_deny_list: create_*", Intent: "file a bug", Outcome: "denied", Milliseconds: 1.23456, BytesIn: 10, BytesOut: 20,
	}
}

func fullChange() audit.Change {
	return audit.Change{RequestID: "r1", TokenID: "t1", User: "root", Action: "update", Kind: "server", ID: "s1", Slug: "github", Fields: []string{"url", "enabled"}}
}

func TestRecords(t *testing.T) {
	const when = `{"time":"2026-03-04T04:06:07.089012Z",`
	const who = `"request_id":"r1","trace_id":"0af7","token_id":"t1","role":"agent","user":"alice","server":"github","tool":"create_issue","method":"tools/call","mode":"plan","agent":"subagent",` +
		`"decision":"denied","reason":"in_deny_list","rule":"tool_deny_list: create_*","intent":"file a bug",`
	for name, row := range map[string]struct {
		use  func(*audit.Log)
		want string
	}{
		"a call":          {func(l *audit.Log) { l.End(fullCall()) }, `"kind":"call",` + who + `"outcome":"denied","ms":1.235,"bytes_in":10,"bytes_out":20}`},
		"its beginning":   {func(l *audit.Log) { l.Begin(fullCall()) }, `"kind":"begin",` + who + `"bytes_in":10}`},
		"an empty call":   {func(l *audit.Log) { l.End(&audit.Call{}) }, `"kind":"call","method":"tools/call"}`},
		"another method":  {func(l *audit.Log) { l.End(&audit.Call{Method: "ping"}) }, `"kind":"call","method":"ping"}`},
		"no number":       {func(l *audit.Log) { l.End(&audit.Call{Method: "ping", Milliseconds: math.NaN()}) }, `"kind":"call","method":"ping"}`},
		"for ever":        {func(l *audit.Log) { l.End(&audit.Call{Method: "ping", Milliseconds: math.Inf(1)}) }, `"kind":"call","method":"ping"}`},
		"a change":        {func(l *audit.Log) { l.Changed(fullChange()) }, `"kind":"change","request_id":"r1","token_id":"t1","user":"root","action":"update","object":"server","id":"s1","slug":"github","fields":["url","enabled"]}`},
		"an empty change": {func(l *audit.Log) { l.Changed(audit.Change{}) }, `"kind":"change"}`},
	} {
		if got := written(t, true, row.use); got != when+row.want+"\n" {
			t.Errorf("%s:\n got %s\nwant %s", name, got, when+row.want)
		}
	}
}

// The table in doc.go has the keys of every kind of record, in the order in which they are written.
func TestDocumentedKeysAreTheKeys(t *testing.T) {
	source, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string][]string{}
	for _, row := range regexp.MustCompile(`(?m)^//\t([a-z_]+) +((?:all|begin|call|change|gap)(?: (?:begin|call|change|gap))*) `).FindAllStringSubmatch(string(source), -1) {
		kinds := strings.Fields(row[2])
		if row[2] == "all" {
			kinds = []string{"begin", "call", "change", "gap"}
		}
		for _, kind := range kinds {
			documented[kind] = append(documented[kind], row[1])
		}
	}
	text := written(t, true, func(l *audit.Log) {
		l.Begin(fullCall())
		l.Changed(fullChange())
		l.End(fullCall())
	}) + gapRecord(t)
	seen := map[string]bool{}
	for line := range strings.Lines(text) {
		kind, keys := keysOf(t, line)
		seen[kind] = true
		expect(t, "keys of "+kind, strings.Join(keys, " "), strings.Join(documented[kind], " "))
	}
	if len(seen) != len(documented) || len(seen) != 4 {
		t.Errorf("kinds written: %v; documented: %d", seen, len(documented))
	}
}

func keysOf(t *testing.T, line string) (kind string, keys []string) {
	t.Helper()
	kind = records(t, line)[0]["kind"].(string)
	for _, match := range regexp.MustCompile(`[{,]"([a-z_]+)":`).FindAllStringSubmatch(line, -1) {
		keys = append(keys, match[1])
	}
	return kind, keys
}

// T-05: whatever a client or a server puts into a field, the record stays one line, one object and visible.
func TestForgedLinesStayInTheirField(t *testing.T) {
	for name, row := range map[string]struct{ text, written string }{
		"a line":             {"x\n{\"kind\":\"call\"}", `x\u000a{\"kind\":\"call\"}`},
		"a carriage return":  {"x\r\ny", `x\u000d\u000ay`},
		"an object's end":    {`x","outcome":"ok"}`, `x\",\"outcome\":\"ok\"}`},
		"an escape's escape": {`\u000a\`, `\\u000a\\`},
		"colour":             {"\x1b[31mred\x1b[0m", `\u001b[31mred\u001b[0m`},
		"C1":                 {"\u009b31m\u0085", `\u009b31m\u0085`},
		"zero and delete":    {"a\x00b\x7f", `a\u0000b\u007f`},
		"other separators":   {"a\u2028b\u2029c", `a\u2028b\u2029c`},
		"directions":         {"\u202egpj\u202c\u2066x\u2069\u200f\u061c", `\u202egpj\u202c\u2066x\u2069\u200f\u061c`},
		"zero width":         {"a\u200bb\u200dc\ufeffd\u2060\u00ad", `a\u200bb\u200dc\ufeffd\u2060\u00ad`},
		"tags":               {"\U000e0041\U000e007f", `\udb40\udc41\udb40\udc7f`},
		"variation":          {"a\ufe0f\U000e0100", `a\ufe0f\udb40\udd00`},
		"fillers":            {"\u3164\u115f\u2800\u00a0\u3000", `\u3164\u115f\u2800\u00a0\u3000`},
		"private use":        {"\ue000\U000f0000\uffff", `\ue000\udb80\udc00\uffff`},
		"no UTF-8":           {"a\xffb\xc3\xed\xa0\x80", `a\ufffdb\ufffd\ufffd\ufffd\ufffd`},
		"other people":       {"Zoë 東京 мир שלום 🚀", "Zoë 東京 мир שלום 🚀"},
		"markup":             {"<b>&amp;</b>", "<b>&amp;</b>"},
	} {
		text := written(t, false, func(l *audit.Log) { l.End(&audit.Call{Tool: row.text}) })
		if !strings.Contains(text, `"tool":"`+row.written+`",`) {
			t.Errorf("%s: %q is written as %s", name, row.text, text)
		}
		oneLine(t, text)
	}
}

// oneLine checks the package's first invariant.
func oneLine(t testing.TB, text string) {
	t.Helper()
	line, found := strings.CutSuffix(text, "\n")
	if !found || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) || !utf8.ValidString(line) {
		t.Errorf("not one line of printable characters: %q", text)
	}
	if !json.Valid([]byte(line)) || !strings.HasPrefix(line, "{") {
		t.Errorf("not one JSON object: %q", line)
	}
}

func TestLongTextsAreCut(t *testing.T) {
	cut := func(text string) string {
		line := written(t, false, func(l *audit.Log) { l.End(&audit.Call{Tool: text}) })
		oneLine(t, line)
		return records(t, line)[0]["tool"].(string)
	}
	a := strings.Repeat("a", 255)
	expect(t, "as long as may be", cut(a+"b"), a+"b")
	expect(t, "one more", cut(a+"bc"), a+"b…")
	expect(t, "within a character", cut(a+"ébc"), a+"…")
	expect(t, "far too long", cut(strings.Repeat("é", 1<<20)), strings.Repeat("é", 128)+"…")

	every := strings.Repeat("\x00", 1<<16)
	call := &audit.Call{
		RequestID: every, TraceID: every, TokenID: every, Role: every, User: every, Server: every, Tool: every, Method: every, Mode: every, Agent: every,
		Decision: every, Reason: every, Rule: every, Intent: every, Outcome: every,
	}
	if line := written(t, false, func(l *audit.Log) { l.End(call) }); len(line) > 24<<10 {
		t.Errorf("a call's record has %d bytes", len(line))
	}
	fields := make([]string, 1000)
	for i := range fields {
		fields[i] = every
	}
	line := written(t, false, func(l *audit.Log) { l.Changed(audit.Change{Fields: fields}) })
	oneLine(t, line)
	if len(line) > 32<<10 {
		t.Errorf("a change's record has %d bytes", len(line))
	}
}

func FuzzRecordsAreOneLine(f *testing.F) {
	for _, seed := range []string{"", "plain", "a\r\nb", "\x1b[0m", `"}`, `\`, "\u2028\u202e", "\xff\xfe", "\U000e0041", "é", strings.Repeat("é", 2000)} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, one, other string) {
		text := written(t, true, func(l *audit.Log) {
			l.Begin(&audit.Call{RequestID: one, TokenID: other, Role: one, User: other, Server: one, Tool: other, Method: one, Intent: other})
			l.Changed(audit.Change{Action: one, Kind: other, ID: one, Slug: other, Fields: []string{one, other}})
			l.End(&audit.Call{Mode: one, Agent: other, Decision: one, Reason: other, Rule: one, Intent: other, Outcome: one})
		})
		lines := strings.SplitAfter(text, "\n")
		if len(lines) != 4 {
			t.Fatalf("three records are %d lines", len(lines)-1)
		}
		for _, line := range lines[:3] {
			oneLine(t, line)
		}
		var back struct{ Intent string }
		json.Unmarshal([]byte(lines[2]), &back)
		if want := strings.ToValidUTF8(other, "\ufffd"); utf8.ValidString(other) && len(other) <= 2048 && back.Intent != want {
			t.Errorf("%q reads back as %q", other, back.Intent)
		}
	})
}

func TestEndAllocatesNothing(t *testing.T) {
	log := open(t, audit.Config{Path: file(t)})
	call := fullCall()
	if n := testing.AllocsPerRun(1000, func() { log.End(call) }); n > 1 {
		t.Errorf("a record allocates %v times", n)
	}
}
