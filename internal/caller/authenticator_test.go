package caller_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/caller"
	"mcpsidecar/policy"
)

func TestWhoIsLetIn(t *testing.T) {
	user, userToken := minted(caller.User)
	admin, adminToken := minted(caller.Admin)
	named, namedToken := minted(caller.Admin, func(r *configstore.APIToken) { r.User = "carol" })
	agent, agentToken := minted(caller.Agent)
	pinned, pinnedToken := minted(caller.User, func(r *configstore.APIToken) {
		r.Mode, r.Agent, r.Servers = "plan", "subagent", []string{"github", "linear"}
	})
	d := newDoor(t, userToken, adminToken, namedToken, agentToken, pinnedToken)

	for name, row := range map[string]struct {
		headers []string
		want    caller.Identity
	}{
		"a user":                       {bearer(user), caller.Identity{Role: caller.User, User: "alice", TokenID: userToken.ID, Mode: policy.Act, Agent: policy.Root}},
		"an admin":                     {bearer(admin), caller.Identity{Role: caller.Admin, User: "admin", TokenID: adminToken.ID, Mode: policy.Act, Agent: policy.Root}},
		"an admin with a name":         {bearer(named), caller.Identity{Role: caller.Admin, User: "carol", TokenID: namedToken.ID, Mode: policy.Act, Agent: policy.Root}},
		"an agent for bob":             {append(bearer(agent), "Sidecar-User", "bob"), caller.Identity{Role: caller.Agent, User: "bob", TokenID: agentToken.ID, Mode: policy.Act, Agent: policy.Root}},
		"what is pinned":               {bearer(pinned), caller.Identity{Role: caller.User, User: "alice", TokenID: pinnedToken.ID, Mode: policy.Plan, Agent: policy.Subagent, Servers: []string{"github", "linear"}}},
		"the bootstrap token":          {bearer(bootstrap), caller.Identity{Role: caller.Admin, User: "admin", TokenID: "bootstrap", Mode: policy.Act, Agent: policy.Root}},
		"a scheme in other letters":    {[]string{"Authorization", "bEaReR " + user}, caller.Identity{Role: caller.User, User: "alice", TokenID: userToken.ID, Mode: policy.Act, Agent: policy.Root}},
		"spaces around":                {[]string{"Authorization", "Bearer   " + user + "  "}, caller.Identity{Role: caller.User, User: "alice", TokenID: userToken.ID, Mode: policy.Act, Agent: policy.Root}},
		"headers that mean nothing":    {append(bearer(user), "X-User-Id", "bob", "Sidecar_User", "bob", "X-Forwarded-User", "bob", "Remote-User", "bob"), caller.Identity{Role: caller.User, User: "alice", TokenID: userToken.ID, Mode: policy.Act, Agent: policy.Root}},
		"a role that is asked for":     {append(bearer(user), "X-Role", "admin", "Sidecar-Role", "admin"), caller.Identity{Role: caller.User, User: "alice", TokenID: userToken.ID, Mode: policy.Act, Agent: policy.Root}},
		"an agent for a careful name":  {append(bearer(agent), "Sidecar-User", "A.b_c@d+e-1"), caller.Identity{Role: caller.Agent, User: "A.b_c@d+e-1", TokenID: agentToken.ID, Mode: policy.Act, Agent: policy.Root}},
		"an agent for the admin, even": {append(bearer(agent), "Sidecar-User", "admin"), caller.Identity{Role: caller.Agent, User: "admin", TokenID: agentToken.ID, Mode: policy.Act, Agent: policy.Root}},
	} {
		got, err := d.knock(row.headers...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if fmt.Sprint(*got) != fmt.Sprint(row.want) {
			t.Errorf("%s: got %v, want %v", name, *got, row.want)
		}
	}
}

// anything but exactly one right credential for exactly one user is an error, and which one is told apart only as far as helps its owner.
func TestWhoIsTurnedAway(t *testing.T) {
	user, userToken := minted(caller.User)
	other, otherToken := minted(caller.User)
	agent, agentToken := minted(caller.Agent)
	expired, expiredToken := minted(caller.User, func(r *configstore.APIToken) { r.ExpiresAt = start })
	strange, strangeToken := minted("owner")
	noRole, noRoleToken := minted("")
	noUser, noUserToken := minted(caller.User, func(r *configstore.APIToken) { r.User = "" })
	oddMode, oddModeToken := minted(caller.User, func(r *configstore.APIToken) { r.Mode = "yolo" })
	oddAgent, oddAgentToken := minted(caller.User, func(r *configstore.APIToken) { r.Agent = "grandchild" })
	d := newDoor(t, userToken, otherToken, agentToken, expiredToken, strangeToken, noRoleToken, noUserToken, oddModeToken, oddAgentToken)
	stranger, _ := minted(caller.Admin)
	as := func(name string) []string { return append(bearer(agent), "Sidecar-User", name) }

	for name, row := range map[string]struct {
		headers []string
		want    error
	}{
		"nothing":                     {nil, caller.ErrNoCredential},
		"an empty header":             {[]string{"Authorization", ""}, caller.ErrNoCredential},
		"a scheme alone":              {[]string{"Authorization", "Bearer"}, caller.ErrNoCredential},
		"another scheme":              {[]string{"Authorization", "Basic " + user}, caller.ErrNoCredential},
		"a token alone":               {[]string{"Authorization", user}, caller.ErrNoCredential},
		"a tab":                       {[]string{"Authorization", "Bearer\t" + user}, caller.ErrNoCredential},
		"another header":              {[]string{"X-Api-Key", user, "Cookie", "token=" + user, "Proxy-Authorization", "Bearer " + user}, caller.ErrNoCredential},
		"a scheme and a space":        {bearer(""), caller.ErrBadCredential},
		"two headers":                 {append(bearer(user), bearer(user)...), caller.ErrBadCredential},
		"two tokens":                  {bearer(user + " " + other), caller.ErrBadCredential},
		"a list":                      {bearer(user + "," + other), caller.ErrBadCredential},
		"somebody's":                  {bearer(stranger), caller.ErrBadCredential},
		"one letter less":             {bearer(user[:len(user)-1]), caller.ErrBadCredential},
		"one letter more":             {bearer(user + "a"), caller.ErrBadCredential},
		"upper case":                  {bearer(strings.ToUpper(user)), caller.ErrBadCredential},
		"no prefix":                   {bearer(strings.TrimPrefix(user, "mcps_")), caller.ErrBadCredential},
		"an id alone":                 {bearer("mcps_" + userToken.ID), caller.ErrBadCredential},
		"no secret":                   {bearer("mcps_" + userToken.ID + "_"), caller.ErrBadCredential},
		"no id":                       {bearer("mcps__" + user), caller.ErrBadCredential},
		"another one's secret":        {bearer("mcps_" + userToken.ID + other[strings.LastIndexByte(other, '_'):]), caller.ErrBadCredential},
		"the hash":                    {bearer(fmt.Sprintf("mcps_%s_%x", userToken.ID, userToken.Hash)), caller.ErrBadCredential},
		"64 KiB":                      {bearer("mcps_" + userToken.ID + "_" + strings.Repeat("a", 64<<10)), caller.ErrBadCredential},
		"the bootstrap token, longer": {bearer(bootstrap + "A"), caller.ErrBadCredential},
		"the bootstrap token, a part": {bearer(bootstrap[:31]), caller.ErrBadCredential},
		"expired":                     {bearer(expired), caller.ErrBadCredential},
		"an unknown role":             {bearer(strange), caller.ErrBadCredential},
		"no role":                     {bearer(noRole), caller.ErrBadCredential},
		"a user's without a user":     {bearer(noUser), caller.ErrBadCredential},
		"an unknown mode":             {bearer(oddMode), caller.ErrBadCredential},
		"an unknown kind of agent":    {bearer(oddAgent), caller.ErrBadCredential},
		"an agent for nobody":         {bearer(agent), caller.ErrUserRequired},
		"an agent for an empty name":  {as(""), caller.ErrUserRequired},
		"an agent for two":            {append(as("bob"), "Sidecar-User", "alice"), caller.ErrUserInvalid},
		"an agent for one, twice":     {append(as("bob"), "Sidecar-User", "bob"), caller.ErrUserInvalid},
		"an agent for a list":         {as("bob,alice"), caller.ErrUserInvalid},
		"an agent for a path":         {as("../alice"), caller.ErrUserInvalid},
		"an agent for a space":        {as("bob "), caller.ErrUserInvalid},
		"an agent for a long name":    {as(strings.Repeat("b", 129)), caller.ErrUserInvalid},
		"an agent for a control":      {as("bob\x00"), caller.ErrUserInvalid},
		"an agent for a look-alike":   {as("b\u043eb"), caller.ErrUserInvalid},
		"a user for another":          {append(bearer(user), "Sidecar-User", "bob"), caller.ErrUserForbidden},
		"a user for itself":           {append(bearer(user), "Sidecar-User", "alice"), caller.ErrUserForbidden},
		"a user for nobody":           {append(bearer(user), "Sidecar-User", ""), caller.ErrUserForbidden},
		"an admin for another":        {append(bearer(bootstrap), "Sidecar-User", "bob"), caller.ErrUserForbidden},
	} {
		got, err := d.knock(row.headers...)
		if !errors.Is(err, row.want) || got != nil {
			t.Errorf("%s: got %v and %v, want no identity and %q", name, got, err, row.want)
			continue
		}
		for _, secret := range []string{user, other, agent, bootstrap} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error repeats a token", name)
			}
		}
	}
	if len(d.told) > 0 {
		t.Errorf("users %v were recorded for callers that were turned away", d.told)
	}
}

func TestWithoutABootstrapTokenNoneIsRight(t *testing.T) {
	a, err := caller.New(caller.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "bootstrap", "admin", strings.Repeat("\x00", 32)} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", "Bearer "+text)
		if identity, err := a.Authenticate(r); !errors.Is(err, caller.ErrBadCredential) {
			t.Errorf("%q: %v %v", text, identity, err)
		}
	}
}

func TestExpiry(t *testing.T) {
	text, record := minted(caller.User, func(r *configstore.APIToken) { r.ExpiresAt = start.Add(time.Hour) })
	d := newDoor(t, record)
	d.wait(time.Hour - time.Nanosecond)
	if _, err := d.knock(bearer(text)...); err != nil {
		t.Errorf("just before: %v", err)
	}
	d.wait(time.Nanosecond)
	if _, err := d.knock(bearer(text)...); !errors.Is(err, caller.ErrBadCredential) {
		t.Errorf("from then on: %v", err)
	}
}

func TestReloadRevokesAtOnce(t *testing.T) {
	first, firstRecord := minted(caller.User)
	second, secondRecord := minted(caller.Agent)
	d := newDoor(t, firstRecord)
	check := func(when, text string, want error, headers ...string) {
		t.Helper()
		if _, err := d.knock(append(bearer(text), headers...)...); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", when, err, want)
		}
	}
	check("the first", first, nil)
	check("the second, not known yet", second, caller.ErrBadCredential, "Sidecar-User", "bob")
	d.Reload([]configstore.APIToken{secondRecord})
	check("the first, revoked", first, caller.ErrBadCredential)
	check("the second", second, nil, "Sidecar-User", "bob")
	d.Reload(nil)
	check("the second, revoked", second, caller.ErrBadCredential, "Sidecar-User", "bob")
	check("the bootstrap token, always", bootstrap, nil)
}

// What the store later does to its records changes nobody's identity.
func TestReloadCopies(t *testing.T) {
	text, record := minted(caller.User, func(r *configstore.APIToken) { r.Servers = []string{"github"} })
	d := newDoor(t, record)
	record.Servers[0] = "everything"
	identity, err := d.knock(bearer(text)...)
	if err != nil || !slices.Equal(identity.Servers, []string{"github"}) {
		t.Errorf("%v %v", identity, err)
	}
	identity.User = "mallory"
	if again, _ := d.knock(bearer(text)...); again.User != "alice" {
		t.Errorf("a request's identity changes that of the next: %v", again)
	}
}

func TestManyAtOnce(t *testing.T) {
	text, record := minted(caller.Agent)
	d := newDoor(t, record)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 100 {
				identity, err := d.knock(append(bearer(text), "Sidecar-User", fmt.Sprintf("user-%d", i))...)
				if err != nil || identity.User != fmt.Sprintf("user-%d", i) {
					t.Errorf("%v %v", identity, err)
				}
				d.knockFrom(fmt.Sprintf("192.0.2.%d:1", j), bearer("wrong")...)
			}
		})
		all.Go(func() {
			for range 20 {
				d.Reload([]configstore.APIToken{record})
			}
		})
	}
	all.Wait()
}

// The comparisons have the shape that takes the same time for every wrong secret: one call of subtle.ConstantTimeCompare each, and no other comparison of what is secret.
func TestComparisonsAreInConstantTime(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "authenticator.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	compares := map[string]int{}
	for _, declaration := range file.Decls {
		function, ok := declaration.(*ast.FuncDecl)
		if !ok {
			continue
		}
		ast.Inspect(function, func(node ast.Node) bool {
			switch n := node.(type) {
			case *ast.SelectorExpr:
				if n.Sel.Name == "ConstantTimeCompare" {
					compares[function.Name.Name]++
				}
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "bytes" {
					t.Errorf("%s uses package bytes", function.Name.Name)
				}
			case *ast.BinaryExpr:
				if n.Op == token.EQL || n.Op == token.NEQ {
					checkNotSecret(t, function.Name.Name, n.X, n.Y)
				}
			}
			return true
		})
	}
	if len(compares) != 2 || compares["minted"] != 1 || compares["isBootstrap"] != 1 {
		t.Errorf("constant-time comparisons: %v, want one in minted and one in isBootstrap", compares)
	}
}

func checkNotSecret(t *testing.T, function string, sides ...ast.Expr) {
	for _, side := range sides {
		name := ""
		switch s := side.(type) {
		case *ast.Ident:
			name = s.Name
		case *ast.SelectorExpr:
			name = s.Sel.Name
		}
		if slices.Contains([]string{"hash", "Hash", "bootstrap", "decoy", "secret", "credential", "got", "want"}, name) {
			t.Errorf("%s compares %s with an operator", function, name)
		}
	}
}

// FuzzBearer holds the reading of the header against the rule in one line: one token, after one scheme, spaces around it.
func FuzzBearer(f *testing.F) {
	text, record := minted(caller.User)
	for _, seed := range []string{"", "Bearer ", "Bearer " + text, "bearer  " + text + " ", "Basic x", "Bearer mcps_", "Bearer mcps_a_b_c", "Bearer\u00a0" + text, text, "Bearer " + text + "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		scheme, rest, _ := strings.Cut(header, " ")
		want := strings.EqualFold(scheme, "bearer") && strings.Trim(rest, " ") == text
		identity, err := newDoor(t, record).knock("Authorization", header)
		if (err == nil) != want || (identity != nil) != want {
			t.Errorf("%q: %v %v, want in: %v", header, identity, err, want)
		}
		if err != nil && !errors.Is(err, caller.ErrNoCredential) && !errors.Is(err, caller.ErrBadCredential) {
			t.Errorf("%q: %v", header, err)
		}
	})
}

func BenchmarkAuthenticate(b *testing.B) {
	text, record := minted(caller.Agent)
	a, err := caller.New(caller.Config{Bootstrap: bootstrap})
	if err != nil {
		b.Fatal(err)
	}
	a.Reload([]configstore.APIToken{record})
	r := httptest.NewRequest(http.MethodPost, "/mcp", nil)
	r.Header.Set("Authorization", "Bearer "+text)
	r.Header.Set("Sidecar-User", "alice")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Authenticate(r); err != nil {
			b.Fatal(err)
		}
	}
}
