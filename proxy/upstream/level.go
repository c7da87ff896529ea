package upstream

import (
	"context"
	"slices"

	"mcpsidecar/proxy/rpc"
)

const methodSetLevel = "logging/setLevel"

// levels are those of log messages, from the one that says least to the one that says most.
var levels = []string{"emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"}

// askForLogs has a legacy server log as much to the session as a request wants, which many servers do only when they are told. A session is told each level once, and only one that says more than what it was
// told before: several requests share it, and whoever wants less drops the rest. A server that refuses has the request all the same.
func (c *Conn) askForLogs(ctx context.Context, l *link, level string) {
	if l.era == Modern || level == "" || l.sessionHeader == nil && l.stream == nil || find(l.info.Capabilities, "logging") == nil {
		return
	}
	wanted := int32(slices.Index(levels, level) + 1)
	for {
		told := l.told.Load()
		if wanted <= told {
			return
		}
		if l.told.CompareAndSwap(told, wanted) {
			break
		}
	}
	if failure := c.tellLevel(ctx, l, level); failure != nil {
		c.server.cfg.Logger.Debug("a server was not told what to log", "server", c.server.cfg.Slug, "error", failure)
	}
}

func (c *Conn) tellLevel(ctx context.Context, l *link, level string) *Failure {
	e, failure := c.ask(ctx, l, Call{
		Method: methodSetLevel, Params: []rpc.Member{{Name: "level", Value: rpc.AppendString(nil, level)}}, Timeout: c.server.cfg.Limits.Connect,
	})
	if failure != nil {
		return failure
	}
	defer e.Close()
	answer, failure := e.answer()
	if failure == nil && answer.Kind == rpc.ErrorResponse {
		failure = c.refused(ctx, methodSetLevel, answer.Error)
	}
	return failure
}
