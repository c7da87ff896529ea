package proxy

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"

	"mcpsidecar/internal/caller"
	"mcpsidecar/proxy/rpc"
	"mcpsidecar/proxy/upstream"
)

// taskTicket is what a task id of ours carries, sealed: where the task is and under which rules it was begun, so that ids need not be remembered and outlive the process. It is worth something only to the caller who
// got it, and for the server at the address that made the task.
type taskTicket struct {
	User    string      `json:"u"`
	Role    caller.Role `json:"r"`
	TokenID string      `json:"t"`
	Server  string      `json:"s"`           // id
	Place   []byte      `json:"p"`           // of the server; see placeOf
	Tool    string      `json:"n"`           // original name
	Modern  bool        `json:"m,omitempty"` // the client is
	Across  bool        `json:"a,omitempty"` // the server is of the other era
	Kept    bool        `json:"k,omitempty"` // the server has no task, but has answered; see taskkept.go
	Begun   int64       `json:"b,omitempty"` // unix seconds; only where the server is of the other era
	ID      string      `json:"i"`           // the server's own
}

// Bounds of task ids: a modern client repeats ours in a header.
const (
	maxTheirTask = 1 << 10
	maxOurTask   = 4 << 10
)

var (
	taskPlace   = []byte("mcp-sidecar task 1")
	errNoTask   = errors.New("the task id is not one that was given to this caller")
	errLongTask = errors.New("the task id cannot be passed on")
)

// placeOf is the same as long as a server's address is.
func placeOf(address string) []byte {
	sum := sha256.Sum256([]byte(address))
	return sum[:8]
}

// taskTicketFor is a ticket for a task that the tool of a server of some era has begun for this caller.
func (t *turn) taskTicketFor(l *link, era upstream.Era, tool, id string) taskTicket {
	identity := t.scope.identity
	k := taskTicket{User: identity.User, Role: identity.Role, TokenID: identity.TokenID, Server: l.serverID, Place: l.place, Tool: tool, Modern: t.modern, ID: id}
	if k.Across = t.modern != (era == upstream.Modern); k.Across {
		k.Begun = t.started.Unix()
	}
	return k
}

// known is the task as the book remembers it.
func (k *taskTicket) known(of taskCaller, ours string) knownTask {
	return knownTask{caller: of, id: k.ID, ours: ours, tool: k.Tool, modern: k.Modern, across: k.Across, kept: k.Kept, begun: k.Begun}
}

// sealTask returns the id that the client gets.
func (s *sealer) sealTask(k *taskTicket) (string, error) {
	if k.ID == "" || len(k.ID) > maxTheirTask {
		return "", errLongTask
	}
	plain, err := json.Marshal(k)
	if err != nil {
		return "", errLongTask
	}
	id := base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, plain, taskPlace))
	if len(id) > maxOurTask {
		return "", errLongTask
	}
	return id, nil
}

func (s *sealer) openTask(id string) (*taskTicket, error) {
	if len(id) > maxOurTask || strings.ContainsAny(id, "\r\n") { // which the decoder would pass over
		return nil, errNoTask
	}
	cipherText, err := base64.RawURLEncoding.Strict().DecodeString(id)
	if err != nil {
		return nil, errNoTask
	}
	plain, err := s.aead.Open(nil, nil, cipherText, taskPlace)
	if err != nil {
		return nil, errNoTask
	}
	k := new(taskTicket)
	if json.Unmarshal(plain, k) != nil {
		return nil, errNoTask
	}
	return k, nil
}

// belongsTo says whether a caller may use it, in words of the era in which it was made. As with sessions, another token of the same user may not.
func (k *taskTicket) belongsTo(identity *caller.Identity, modern bool) bool {
	return k.User == identity.User && k.Role == identity.Role && k.TokenID == identity.TokenID && k.Modern == modern
}

// metaTask relates a message to a task (2025-11-25, basic/utilities/tasks, Related Task Metadata).
const metaTask = "io.modelcontextprotocol/related-task"

// relatedTask is the id of the task that an object with _meta says it is about; empty: none, or it cannot be read.
func relatedTask(raw []byte) string {
	return taskIn(find(find(raw, "_meta"), metaTask))
}

// taskIn is the task id of an object that has one.
func taskIn(raw []byte) string {
	id, _ := rpc.String(find(raw, "taskId"))
	return id
}

// relate replaces the task that an object says it is about; empty: it is about none any more.
func relate(raw []byte, id string) [][]byte {
	meta := memberObject(raw, "_meta")
	edit := rpc.Edit{Name: metaTask}
	if id != "" {
		edit.Value = append(rpc.AppendString([]byte(`{"taskId":`), id), '}')
	}
	if meta == nil && id == "" {
		return [][]byte{raw}
	}
	meta = joined(edited(orEmpty(meta), edit))
	if id == "" && len(meta) <= len("{}") {
		meta = nil
	}
	return edited(raw, rpc.Edit{Name: "_meta", Value: meta})
}

// edited is rpc.EditObject for what has been read strictly, which cannot fail.
func edited(raw []byte, edits ...rpc.Edit) [][]byte {
	pieces, err := rpc.EditObject(nil, raw, edits...)
	if err != nil {
		return [][]byte{emptyObject}
	}
	return pieces
}
