package e2e_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"mcpsidecar/internal/e2e/rig"
)

// TestTasksOfTheNodeSDK: its client calls a tool of its server as a task, is asked something on the way, lists and cancels tasks; and does as a task what the server asks it. Neither knows of what is between them.
func TestTasksOfTheNodeSDK(t *testing.T) {
	s := start(t)
	if err := s.Meet(t.Context(), s.register("everything", npmEverything(t, "streamableHttp", "/mcp"))); err != nil {
		t.Fatal(err)
	}
	token := s.token("alice")
	for path, prefix := range map[string]string{"/mcp": "everything__", "/mcp/everything": ""} {
		command := node(t).Command("tasks.mjs")
		input, _ := json.Marshal(map[string]string{"url": s.Base + path, "token": token, "prefix": prefix})
		command.Stdin = bytes.NewReader(input)
		code, stdout, stderr, err := rig.Run(t.Context(), command)
		if err != nil || code != 0 {
			t.Fatalf("%v %d\n%s%s", err, code, stdout, stderr)
		}
		var got struct {
			Capabilities json.RawMessage
			Support      string
			Task         struct {
				ID, Text string
				Statuses []string
			}
			Plain, Gone, Backward, Again string
			Listed                       []string
			Asked                        []struct {
				Related string
				AsTask  bool
			}
		}
		if err := json.Unmarshal([]byte(stdout), &got); err != nil {
			t.Fatalf("%v\n%s", err, stdout)
		}
		if string(got.Capabilities) != `{"list":{},"cancel":{},"requests":{"tools":{"call":{}}}}` || got.Support != "required" {
			t.Errorf("%s: announced %s, %q", path, got.Capabilities, got.Support)
		}
		if !strings.Contains(got.Task.Text, "historical") || !slices.Contains(got.Task.Statuses, "input_required") || len(got.Task.ID) < 100 {
			t.Errorf("%s: the task: %+v", path, got.Task)
		}
		if !strings.Contains(got.Plain, "Research Report: python") {
			t.Errorf("%s: called plainly: %s", path, got.Plain)
		}
		if got.Gone != "cancelled" || !slices.Contains(got.Listed, got.Task.ID) || len(got.Listed) != 2 {
			t.Errorf("%s: cancelled: %s; listed %d", path, got.Gone, len(got.Listed))
		}
		if !strings.Contains(got.Again, "historical") {
			t.Errorf("%s: the result again: %s", path, got.Again)
		}
		if !strings.Contains(got.Backward, "octocat") || !strings.Contains(got.Backward, "COMPLETED") {
			t.Errorf("%s: a task of the client: %s", path, got.Backward)
		}
		for _, q := range got.Asked {
			if !q.AsTask && q.Related != got.Task.ID {
				t.Errorf("%s: asked about task %q", path, q.Related)
			}
		}
		if len(got.Asked) != 2 {
			t.Errorf("%s: asked %v", path, got.Asked)
		}
	}
}
