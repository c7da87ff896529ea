package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// What notes may take.
const (
	maxNotes = 100
	maxNote  = 1000
)

// notes is a list that tools can change, so that there is something for plan mode and deny lists to protect.
type notes struct {
	mu   sync.Mutex // guards what follows
	last int        // the number of the newest note; numbers are not used twice
	kept []note     // in order of number
}

type note struct {
	number int
	text   string
}

func addNotes(s *mcp.Server, n *notes) {
	mcp.AddTool(s, &mcp.Tool{
		Name: "note_add", Description: "Keeps a note until the demo server ends, and returns its number.", Annotations: writes(),
		InputSchema: input(fmt.Sprintf(`"text":{"type":"string","description":"The note.","minLength":1,"maxLength":%d}`, maxNote), `"text"`),
	}, n.add)
	mcp.AddTool(s, &mcp.Tool{
		Name: "note_list", Description: "Lists the notes, one a line, with their numbers.", Annotations: reads(), InputSchema: input("", ""),
	}, n.list)
	mcp.AddTool(s, &mcp.Tool{
		Name: "note_delete", Description: "Deletes a note for good.", Annotations: erases(),
		InputSchema: input(`"number":{"type":"integer","description":"The note's number.","minimum":1}`, `"number"`),
	}, n.delete)
}

func (n *notes) add(_ context.Context, _ *mcp.CallToolRequest, in struct {
	Text string `json:"text"`
}) (*mcp.CallToolResult, any, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.kept) >= maxNotes {
		return failed("There are %d notes already; delete one first.", maxNotes), nil, nil
	}
	n.last++
	n.kept = append(n.kept, note{n.last, in.Text})
	return said("Kept as note %d.", n.last), nil, nil
}

func (n *notes) list(context.Context, *mcp.CallToolRequest, nothing) (*mcp.CallToolResult, any, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.kept) == 0 {
		return said("There are no notes."), nil, nil
	}
	var text strings.Builder
	for _, note := range n.kept {
		fmt.Fprintf(&text, "%d: %s\n", note.number, note.text)
	}
	return said("%s", text.String()), nil, nil
}

func (n *notes) delete(_ context.Context, _ *mcp.CallToolRequest, in struct {
	Number int `json:"number"`
}) (*mcp.CallToolResult, any, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	at := slices.IndexFunc(n.kept, func(kept note) bool { return kept.number == in.Number })
	if at < 0 {
		return failed("There is no note %d.", in.Number), nil, nil
	}
	n.kept = slices.Delete(n.kept, at, at+1)
	return said("Deleted note %d.", in.Number), nil, nil
}
