package upstream

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"mcpsidecar/proxy/rpc"
)

// known is what detection found out about a server. It is immutable; a new detection makes a new one.
type known struct {
	era    Era
	info   Info // of a modern server
	mute   bool // a modern server names no version of the older era; whether it speaks one all the same, as some do, it was not asked yet
	unsure bool // it answered as a modern server would that lacks server/discover, which none may; initialize decides
}

// modernAfterAll is what is known of a server that refuses both server/discover and initialize.
var modernAfterAll = &known{era: Modern, info: Info{Era: Modern, Version: modernVersion}}

// detect returns the era of the server, finding it out first if nobody has. Many callers share one attempt; but if it fails for a reason that lies with the credentials it was made with, each tries with its own.
func (c *Conn) detect(ctx context.Context) (*known, *Failure) {
	s := c.server
	for {
		if k := s.known.Load(); k != nil {
			return k, nil
		}
		s.mu.Lock()
		if k := s.known.Load(); k != nil { // it has come to be known since
			s.mu.Unlock()
			return k, nil
		}
		f := s.detection
		mine := f == nil
		if mine {
			f = newFlight[*known]()
			s.detection = f
		}
		s.mu.Unlock()
		if mine {
			return c.lead(ctx, f)
		}
		k, failure, ok := f.wait(ctx)
		if !ok {
			return nil, s.ended(ctx, false)
		}
		if failure == nil || !personal(failure) {
			return k, failure
		}
	}
}

// lead makes the attempt that the others wait for. It runs in a connect flight, which no caller can cancel.
func (c *Conn) lead(ctx context.Context, f *flight[*known]) (*known, *Failure) {
	k, failure := c.probe(ctx)
	s := c.server
	s.mu.Lock()
	s.detection = nil
	if k != nil {
		s.known.Store(k)
	}
	s.mu.Unlock()
	f.land(k, failure)
	return k, failure
}

// personal: another caller may well fare better.
func personal(f *Failure) bool {
	switch f.Kind {
	case Unauthorized, Insufficient, Credential, Canceled:
		return true
	}
	return f.Kind == Status && (f.HTTPStatus == http.StatusForbidden || f.HTTPStatus == http.StatusTooManyRequests)
}

// unlearn forgets what detection found, unless it has been found anew since.
func (s *Server) unlearn(k *known) { s.known.CompareAndSwap(k, nil) }

// probe asks a modern question and judges by what comes back. A server that cannot be reached, is too slow, breaks or wants other credentials has not said what it is; everything else that is no modern
// answer is that of a legacy server.
func (c *Conn) probe(ctx context.Context) (*known, *Failure) {
	e, failure := c.ask(ctx, c.modernLink(&known{era: Modern}), Call{Method: methodDiscover})
	if failure != nil {
		return judgeFailure(failure)
	}
	defer e.Close()
	answer, failure := e.answer()
	if failure != nil {
		return judgeFailure(failure)
	}
	if answer.Kind == rpc.Response {
		return c.judgeDiscovery(answer.Result)
	}
	switch refusal, _ := rpc.ParseError(answer.Error); refusal.Code {
	case codeUnsupportedVersion:
		return c.server.choose(find(refusal.Data, "supported"), Info{})
	case codeHeaderMismatch, codeMissingCapability:
		return &known{era: Modern, info: modernAfterAll.info}, nil
	case codeMethodNotFound:
		return &known{era: Legacy, unsure: e.response.StatusCode == http.StatusNotFound}, nil
	}
	return &known{era: Legacy}, nil
}

// judgeFailure tells failures that say nothing from those by which a legacy server shows itself.
func judgeFailure(f *Failure) (*known, *Failure) {
	if turnsAway(f) {
		return &known{era: Legacy}, nil
	}
	return nil, f
}

// turnsAway: it was answered, by something that does not understand what was asked: server/discover, a version, a request without a session.
func turnsAway(f *Failure) bool {
	if f.Kind != Status {
		return f.Kind == Malformed || f.Kind == Refused
	}
	switch f.HTTPStatus {
	case http.StatusForbidden, http.StatusTooManyRequests, http.StatusRequestTimeout:
		return false
	}
	return (f.HTTPStatus >= 400 && f.HTTPStatus < 500) || f.HTTPStatus == http.StatusNotImplemented
}

func (c *Conn) judgeDiscovery(result []byte) (*known, *Failure) {
	versions := find(result, "supportedVersions")
	if versions == nil || versions[0] != '[' {
		return &known{era: Legacy}, nil
	}
	info := Info{Era: Modern, Version: modernVersion, Capabilities: said(find(result, "capabilities"))}
	info.ServerInfo = said(find(find(result, "_meta"), "io.modelcontextprotocol/serverInfo"))
	return c.server.choose(versions, info)
}

// choose picks from the versions that a server names: the modern one if it is there, else any that initialize can agree on.
func (s *Server) choose(supported []byte, info Info) (*known, *Failure) {
	elements, err := rpc.ElementsUpTo(nil, orEmpty(supported), maxElements)
	if err != nil {
		return &known{era: Legacy}, nil
	}
	versions := make([]string, 0, len(elements))
	for _, e := range elements {
		version, _ := rpc.String(e)
		versions = append(versions, version)
	}
	legacy := slices.ContainsFunc(versions, func(v string) bool { return slices.Contains(legacyVersions, v) })
	if slices.Contains(versions, modernVersion) {
		info.Era, info.Version = Modern, modernVersion
		info.Both = legacy
		return &known{era: Modern, info: info, mute: !legacy}, nil
	}
	if len(versions) == 0 || legacy {
		return &known{era: Legacy}, nil
	}
	return nil, s.failure(Malformed, false, errors.New("the server supports no protocol version that we know"))
}

func orEmpty(array []byte) []byte {
	if array == nil || array[0] != '[' {
		return []byte("[]")
	}
	return array
}
