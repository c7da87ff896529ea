package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/mark3labs/mcp-go/mcp"
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

var noteAddTool = mcp.NewTool("note_add",
	mcp.WithDescription("Keeps a note until the demo server ends, and returns its number."),
	mcp.WithString("text", mcp.Required(), mcp.MinLength(1), mcp.MaxLength(maxNote), mcp.Description("The note.")),
	mcp.WithToolAnnotation(writes),
)

func (n *notes) add(_ context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.kept) >= maxNotes {
		return mcp.NewToolResultError(fmt.Sprintf("There are %d notes already; delete one first.", maxNotes)), nil
	}
	n.last++
	n.kept = append(n.kept, note{n.last, request.GetString("text", "")})
	return mcp.NewToolResultText(fmt.Sprintf("Kept as note %d.", n.last)), nil
}

var noteListTool = mcp.NewTool("note_list",
	mcp.WithDescription("Lists the notes, one a line, with their numbers."),
	mcp.WithToolAnnotation(reads),
)

func (n *notes) list(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.kept) == 0 {
		return mcp.NewToolResultText("There are no notes."), nil
	}
	var text strings.Builder
	for _, note := range n.kept {
		fmt.Fprintf(&text, "%d: %s\n", note.number, note.text)
	}
	return mcp.NewToolResultText(text.String()), nil
}

var noteDeleteTool = mcp.NewTool("note_delete",
	mcp.WithDescription("Deletes a note for good."),
	mcp.WithInteger("number", mcp.Required(), mcp.Min(1), mcp.Description("The note's number.")),
	mcp.WithToolAnnotation(erases),
)

func (n *notes) delete(_ context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	number := request.GetInt("number", 0)
	n.mu.Lock()
	defer n.mu.Unlock()
	at := slices.IndexFunc(n.kept, func(kept note) bool { return kept.number == number })
	if at < 0 {
		return mcp.NewToolResultError(fmt.Sprintf("There is no note %d.", number)), nil
	}
	n.kept = slices.Delete(n.kept, at, at+1)
	return mcp.NewToolResultText(fmt.Sprintf("Deleted note %d.", number)), nil
}
