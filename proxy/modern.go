package proxy

import (
	"mcpsidecar/proxy/rpc"
)

// capabilities are what we offer, to every client alike: nothing of a server is asked before its first use.
const capabilities = `{"tools":{"listChanged":true},"prompts":{"listChanged":true},"resources":{"listChanged":true},"completions":{},"logging":{}}`

// serveModern answers a client that sends its metadata with every request (2026-07-28).
func (t *turn) serveModern(p params) {
	if f := t.checkModern(p); f != nil {
		t.fail(f)
		return
	}
	t.version = modernVersion
	if t.message.Kind == rpc.Notification {
		t.modernNotification()
		return
	}
	switch t.message.Method {
	case "server/discover":
		t.discover()
	case "tools/list":
		t.proxy.toolsList(t)
	case "tools/call":
		t.call(p)
	case "subscriptions/listen":
		t.subscribe()
	default:
		if !t.serveSurface(p) {
			t.fail(failMethod(t.message.Method))
		}
	}
}

// modernNotification accepts the one notification of this era, which over HTTP means nothing: closing the stream is what cancels.
func (t *turn) modernNotification() {
	if t.message.Method == "notifications/cancelled" {
		t.accepted()
		return
	}
	t.fail(failRequest("unknown notification: " + clip(t.message.Method)))
}

// discover answers server/discover.
func (t *turn) discover() {
	t.result(`"supportedVersions":` + supportedVersions + `,"capabilities":` + capabilities + `,"ttlMs":` + listTTL + `,"cacheScope":"private"`)
}
