package proxy

import (
	"mcpsidecar/proxy/rpc"
)

// serveModern answers a client that sends its metadata with every request (2026-07-28).
func (t *turn) serveModern(p params) {
	if f := t.checkModern(p); f != nil {
		t.fail(f)
		return
	}
	t.version, t.scope.version = modernVersion, modernVersion
	if t.message.Kind == rpc.Notification {
		t.modernNotification(p)
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
		t.detach((*turn).subscribe)
	default:
		if !t.serveSurface(p) && !t.serveTask(p) && !t.serveExtension(p) {
			t.fail(failMethod(t.message.Method))
		}
	}
}

// modernNotification accepts the one notification of this era, which over HTTP means nothing: closing the stream is what cancels. Extensions can have others.
func (t *turn) modernNotification(p params) {
	if t.message.Method == "notifications/cancelled" {
		t.accepted()
		return
	}
	if t.tellExtension(p) {
		return
	}
	t.fail(failRequest("unknown notification: " + clip(t.message.Method)))
}

// discover answers server/discover.
func (t *turn) discover() {
	t.result(`"supportedVersions":` + supportedVersions + `,"capabilities":` + t.capabilities() + `,"ttlMs":` + listTTL + `,"cacheScope":"private"`)
}
