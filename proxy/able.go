package proxy

import (
	"net"
	"net/url"
	"strings"

	"mcpsidecar/proxy/rpc"
)

// What a server may ask a client for.
const (
	methodElicit = "elicitation/create"
	methodSample = "sampling/createMessage"
	methodRoots  = "roots/list"
)

// able says whether a client can answer a server's request: nil, or the error that the server gets for it. A client is never asked for what it has not declared (M-07).
func able(declared []byte, method string, params []byte) *rpc.Error {
	switch method {
	case methodElicit:
		return ableToElicit(memberObject(declared, "elicitation"), params)
	case methodSample:
		sampling := memberObject(declared, "sampling")
		if sampling != nil && memberObject(sampling, "tools") == nil && (find(params, "tools") != nil || find(params, "toolChoice") != nil) {
			return &rpc.Error{Code: codeInvalidParams, Message: "the client has not declared sampling.tools"}
		}
		return unlessDeclared(sampling, method)
	case methodRoots:
		return unlessDeclared(memberObject(declared, "roots"), method)
	}
	return notAble(method)
}

// ableToElicit: without any mode the form is meant, both in what is declared and in what is asked for (client/elicitation, Capabilities).
func ableToElicit(elicitation, params []byte) *rpc.Error {
	if elicitation == nil {
		return notAble(methodElicit)
	}
	mode := "form"
	if raw := find(params, "mode"); raw != nil {
		mode, _ = rpc.String(raw)
	}
	links, forms := find(elicitation, "url") != nil, find(elicitation, "form") != nil
	switch {
	case mode == "form" && (forms || !links):
		return nil
	case mode == "url" && !links, mode != "url":
		return &rpc.Error{Code: codeInvalidParams, Message: "the client has not declared elicitation of mode " + clip(mode)}
	}
	if link, _ := rpc.String(find(params, "url")); !openable(link) {
		return &rpc.Error{Code: codeInvalidParams, Message: "only https URLs are shown to users"}
	}
	return nil
}

func unlessDeclared(capability []byte, method string) *rpc.Error {
	if capability == nil {
		return notAble(method)
	}
	return nil
}

// notAble is what a server gets that asks for what was not announced to it, as from the client itself.
func notAble(method string) *rpc.Error {
	return &rpc.Error{Code: codeMethodNotFound, Message: "Method not found: " + clip(method)}
}

// openable says whether a user may be shown a server's link: https, or http on the user's own machine. User information before the host only ever misleads.
func openable(link string) bool {
	u, err := url.Parse(link)
	if err != nil || u.Host == "" || u.User != nil || u.Opaque != "" {
		return false
	}
	switch u.Scheme {
	case "https":
		return true
	case "http":
		host := strings.ToLower(u.Hostname())
		ip := net.ParseIP(host)
		return host == "localhost" || ip != nil && ip.IsLoopback()
	}
	return false
}

// answers says whether a client can be asked for anything at all.
func answers(declared []byte) bool {
	for _, name := range []string{"elicitation", "sampling", "roots"} {
		if memberObject(declared, name) != nil {
			return true
		}
	}
	return false
}

// everyAbility is announced where we list what a server has for everyone: some offer a tool only to a client that can answer what it will ask, or name its user interface only to one that can show it (MCP Apps). Whoever calls it announces its own.
var everyAbility = []byte(`{"elicitation":{"form":{},"url":{}},"sampling":{},"roots":{},"extensions":{"io.modelcontextprotocol/ui":{"mimeTypes":["text/html;profile=mcp-app"]}},"tasks":{"list":{},"cancel":{},"requests":{"sampling":{"createMessage":{}},"elicitation":{"create":{}}}}}`)

// announced is what servers are told of what the client of a session declared: everything, but for tasks in a shape that the client's version does not have. A modern server would begin some for it.
func (s *sealed) announced() []byte {
	declared := s.Capabilities
	if s.Version != newestLegacy {
		declared = without(declared, "tasks")
	}
	if extensions := memberObject(declared, "extensions"); find(extensions, tasksExtension) != nil {
		declared = joined(edited(declared, rpc.Edit{Name: "extensions", Value: without(extensions, tasksExtension)}))
	}
	return declared
}

// without is an object without one of its members.
func without(raw []byte, name string) []byte {
	if find(raw, name) == nil {
		return raw
	}
	return joined(edited(raw, rpc.Edit{Name: name}))
}

// find is rpc.Find for a value that may be missing or no object.
func find(raw []byte, name string) []byte {
	if len(raw) == 0 || raw[0] != '{' {
		return nil
	}
	return rpc.Find(raw, name)
}

// memberObject is find for what has to be an object.
func memberObject(raw []byte, name string) []byte { return object(find(raw, name)) }
