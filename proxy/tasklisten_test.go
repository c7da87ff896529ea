package proxy_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestListeningForTasksIsReadStrictly: whoever asks for tasks must have said that it can deal with them, and then what it asks for must be a list of ids; no server is asked anything otherwise.
func TestListeningForTasksIsReadStrictly(t *testing.T) {
	k := startTasker(t, "modern", "")
	r := newRig(t, k.record("one"))
	token := r.token("user", "alice")
	mute, able := r.client("modern", "/mcp", token), r.tasking("modern", "/mcp", token)
	task := able.start("one__slow", "", "")
	ids := func(n int) string {
		names := make([]string, n)
		for i := range names {
			names[i] = fmt.Sprintf(`"x://%d"`, i)
		}
		return `[` + strings.Join(names, ",") + `]`
	}
	for _, test := range []struct {
		c      *client
		filter string
		code   int
	}{
		{mute, fmt.Sprintf(`{"taskIds":[%q]}`, task.TaskID), -32021},
		{mute, fmt.Sprintf(`{"toolsListChanged":true,"taskIds":[%q]}`, task.TaskID), -32021},
		{mute, `{"taskIds":["nobody's"]}`, -32021},
		{mute, `{"taskIds":[]}`, -32021},
		{mute, `{"taskIds":7}`, -32021},
		{able, `{"taskIds":7}`, -32602},
		{able, `{"taskIds":"` + task.TaskID + `"}`, -32602},
		{able, `{"taskIds":{}}`, -32602},
		{able, `{"taskIds":null}`, -32602},
		{able, `{"taskIds":[7]}`, -32602},
		{able, fmt.Sprintf(`{"taskIds":[%q,null]}`, task.TaskID), -32602},
		{able, `{"taskIds":` + ids(257) + `}`, -32602},
		{able, `{"taskIds":` + ids(200) + `,"resourceSubscriptions":` + ids(200) + `}`, -32602},
	} {
		got := test.c.ask("subscriptions/listen", "", `"notifications":`+test.filter, "")
		m := got.last(t)
		if m.code() != test.code || (got.status == http.StatusBadRequest) != (test.code == -32021) {
			t.Errorf("%.100s: %d %s, want %d", test.filter, got.status, got.body, test.code)
		}
		if test.code == -32021 && string(m.Error.Data) != `{"requiredCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{}}}}` {
			t.Errorf("%s: %s", test.filter, got.body)
		}
	}
	if n := k.touched(); n != 0 {
		t.Errorf("the server was asked %d times", n)
	}
}
