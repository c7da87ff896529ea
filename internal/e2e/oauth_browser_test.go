package e2e_test

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// chromium starts a browser and returns the context of its first tab. Without one a developer's run skips; in CI that is a failure.
func chromium(t *testing.T) context.Context {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" && !inCI() {
		t.Skip("there is no Chromium here")
	}
	if path == "" {
		t.Fatal("there is no Chromium here: .ci/prepare installs it")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox) // with a profile of its own making, which it takes away with the patience that the last of its processes need
	allocator, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(stop)
	tab, end := chromedp.NewContext(allocator)
	t.Cleanup(end)
	if err := chromedp.Do(tab); err != nil { // the browser lives as long as the context of the first action
		t.Fatal(err)
	}
	return tab
}

// evaluate runs a script in the page that a tab shows. A page that is just going away has no answer, so that nobody waits long for one: it can be asked again.
func evaluate[T any](tab context.Context, script string) (T, error) {
	return evaluateWithin[T](tab, 5*time.Second, script)
}

func evaluateWithin[T any](tab context.Context, limit time.Duration, script string) (T, error) {
	ctx, cancel := context.WithTimeout(tab, limit)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](script, byUser))
}

// answers runs a script in a page that is there to stay.
func answers[T any](t *testing.T, tab context.Context, script string) T {
	t.Helper()
	return must[T](t)(evaluateWithin[T](tab, patience, script))
}

// goTo has a tab leave for an address. That it is there, only what it shows can say.
func goTo(t *testing.T, tab context.Context, address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(tab, patience)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(address)); err != nil {
		t.Fatal(err)
	}
}

// shows waits for an element and returns its text.
func shows(t *testing.T, tab context.Context, selector string) (text string) {
	t.Helper()
	eventually(t, selector, func() (there bool) {
		text, _ = evaluate[string](tab, fmt.Sprintf(`document.readyState === "complete" && document.querySelector(%q)?.textContent || ""`, selector))
		return text != ""
	})
	return text
}

// press clicks on an element.
func press(t *testing.T, tab context.Context, selector string) {
	t.Helper()
	shows(t, tab, selector)
	_, _ = evaluate[bool](tab, fmt.Sprintf(`document.querySelector(%q).click(), true`, selector)) // the page may be gone before it can answer
}

// byUser evaluates a script as if a user had clicked.
func byUser(p *runtime.EvaluateParams) { yes := true; p.UserGesture = &yes }

// signIn answers the questions of the sidecar and of the provider in a tab that shows the former. The last click may close the tab.
func signIn(t *testing.T, tab context.Context, user string) {
	t.Helper()
	if asked := shows(t, tab, "#user"); asked != user {
		t.Errorf("the page asks whether it is %q", asked)
	}
	press(t, tab, "#continue")
	shows(t, tab, "#allow")
	answers[bool](t, tab, fmt.Sprintf(`document.querySelector("input[name=login]").value = %q, true`, user+"-at-provider"))
	press(t, tab, "#allow")
}

// atChromium is what a browser test needs: a browser, a sidecar, and a server that needs an account.
type atChromium struct {
	*sidecar
	tab    context.Context
	server *guarded
	id     string
}

func newAtChromium(t *testing.T) *atChromium {
	t.Helper()
	a := &atChromium{tab: chromium(t), sidecar: start(t)}
	a.server = startGuarded(t, startProvider(t, "TTL=60"), modernOnly)
	a.id = a.register("docs", a.server.endpoint(), "auth_type", "oauth2")
	return a
}

// TestSignInInATab: a person opens the link that an agent shows, in a browser as it is.
func TestSignInInATab(t *testing.T) {
	a := newAtChromium(t)
	alice := a.modern("/mcp/docs", a.token("alice"))
	link := a.linkIn(alice.call("echo", "{}"))
	goTo(t, a.tab, link)
	signIn(t, a.tab, "alice")
	closing := shows(t, a.tab, "#close")
	if what := shows(t, a.tab, "#text"); what != "docs is connected for alice." || closing != "You may close this window." {
		t.Errorf("the page says %q and %q", what, closing)
	}
	if said := alice.call("echo", "{}"); said.Text != "for alice-at-provider" {
		t.Errorf("the call said %+v", said)
	}
	// The same link again, and what was in the address of the last page again.
	callback := answers[string](t, a.tab, `location.href`)
	goTo(t, a.tab, callback)
	repeated := shows(t, a.tab, "#text")
	goTo(t, a.tab, link)
	again := shows(t, a.tab, "#text")
	if !strings.Contains(repeated, "was finished before") || !strings.Contains(again, "was used before") {
		t.Errorf("repeated: %q; the link again: %q", repeated, again)
	}
}

// TestSignInDenied: the person says no at the provider.
func TestSignInDenied(t *testing.T) {
	a := newAtChromium(t)
	token := a.token("alice")
	goTo(t, a.tab, a.linkIn(a.modern("/mcp/docs", token).call("echo", "{}")))
	press(t, a.tab, "#continue")
	press(t, a.tab, "#deny")
	said := shows(t, a.tab, "#text")
	if !strings.Contains(said, "did not let you in") || a.connection(a.id, token) != "needs_auth" {
		t.Errorf("the page says %q", said)
	}
}

// TestSignInInAPopup: a page of ours that opened the window is told, and no other page is.
func TestSignInInAPopup(t *testing.T) {
	a := newAtChromium(t)
	for opener, told := range map[string]bool{a.Base + "/connect/nothing": true, a.server.provider.base + "/.well-known/openid-configuration": false} {
		user := map[bool]string{true: "alice", false: "bob"}[told]
		token := a.token(user)
		link := a.linkIn(a.modern("/mcp/docs", token).call("echo", "{}"))
		goTo(t, a.tab, opener)
		popups := chromedp.WaitNewTarget(a.tab, func(info *target.Info) bool { return info.OpenerID != "" })
		answers[bool](t, a.tab, fmt.Sprintf(`window.told = []; addEventListener("message", e => told.push([e.origin, e.data.type, e.data.serverID].join(" "))); window.popup = open(%q, "_blank", "popup"); true`, link))
		var id target.ID
		select {
		case id = <-popups:
		case <-time.After(patience):
			t.Fatal("no window was opened")
		}
		popup, end := chromedp.NewContext(a.tab, chromedp.WithTargetID(id))
		if err := chromedp.Do(popup); err != nil {
			t.Fatal(err)
		}
		signIn(t, popup, user)
		eventually(t, "the window closes", func() bool {
			closed, _ := evaluate[bool](a.tab, `popup.closed`)
			return closed
		})
		end()
		want := ""
		if told {
			want = a.Base + " mcp-oauth2-complete " + a.id
			eventually(t, "the page is told", func() bool { // which a window may be quicker to close than
				heard, _ := evaluate[[]string](a.tab, `told`)
				return len(heard) > 0
			})
		}
		got := answers[[]string](t, a.tab, `told`)
		if strings.Join(got, ", ") != want {
			t.Errorf("the page at %s was told %q, want %q", opener, got, want)
		}
		if a.connection(a.id, token) != "connected" {
			t.Errorf("%s is not connected", user)
		}
	}
}
