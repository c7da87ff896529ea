package e2e_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"mcpsidecar/internal/e2e/rig"
)

// extTasks is what became of a client that speaks of tasks in the words of the extension.
type extTasks struct {
	Extensions  json.RawMessage
	Task, Quiet struct {
		Kind, ID, Text string
		Statuses       []string
	}
	Gone, Again, Plain string
	Asked              []struct{ Kind, Message, Task string }
}

func runExtTasks(t *testing.T, url, token, prefix string) (got extTasks) {
	t.Helper()
	command := node(t).Command("exttasks_client.mjs")
	input, _ := json.Marshal(map[string]string{"url": url, "token": token, "prefix": prefix})
	command.Stdin = bytes.NewReader(input)
	code, stdout, stderr, err := rig.Run(t.Context(), command)
	if err != nil || code != 0 {
		t.Fatalf("%v %d\n%s%s", err, code, stdout, stderr)
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatalf("%v\n%s", err, stdout)
	}
	return got
}

// TestTasksOfTheExtensionAtALegacyServer: the package of the extension, with the client of the second generation, has the tasks of a server of the first: to the result, with a question on the way, and cancelled. A call by a
// client that does not know of tasks is one all the same.
func TestTasksOfTheExtensionAtALegacyServer(t *testing.T) {
	s := start(t)
	s.register("everything", npmEverything(t, "streamableHttp", "/mcp"))
	token := s.token("alice")
	s.modern("/mcp", token).list() // a server that takes its time to say what it has is not waited for as a client says hello
	for path, prefix := range map[string]string{"/mcp": "everything__", "/mcp/everything": ""} {
		got := runExtTasks(t, s.Base+path, token, prefix)
		if string(got.Extensions) != `{"io.modelcontextprotocol/tasks":{}}` {
			t.Errorf("%s: announced %s", path, got.Extensions)
		}
		if got.Task.Kind != "task" || !strings.Contains(got.Task.Text, "historical") || !slices.Contains(got.Task.Statuses, "input_required") || len(got.Task.ID) < 100 {
			t.Errorf("%s: the task: %+v", path, got.Task)
		}
		if !strings.Contains(got.Quiet.Text, "Research Report: python") || slices.Contains(got.Quiet.Statuses, "input_required") {
			t.Errorf("%s: the one that asks nothing: %+v", path, got.Quiet)
		}
		if len(got.Asked) != 1 || got.Asked[0].Kind != "elicitation" || got.Asked[0].Task != got.Task.ID {
			t.Errorf("%s: asked %v", path, got.Asked)
		}
		if got.Gone != "cancelled" || got.Again != "completed" || !strings.Contains(got.Plain, "Research Report: python") {
			t.Errorf("%s: cancelled: %s; again: %s; plainly: %s", path, got.Gone, got.Again, got.Plain)
		}
	}
}
