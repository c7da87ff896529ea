package outbound_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"mcpsidecar/internal/outbound"
)

func TestGuardKnowsEverySpecialRange(t *testing.T) {
	refused := map[string][]string{
		"this network":       {"0.0.0.0", "0.1.2.3", "0.255.255.255"},
		"private":            {"10.0.0.0", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255"},
		"carrier grade":      {"100.64.0.0", "100.100.100.200", "100.127.255.255"},
		"loopback":           {"127.0.0.1", "127.255.255.254", "::1"},
		"link-local":         {"169.254.0.0", "169.254.169.254", "169.254.255.255", "fe80::1", "fe80::1%eth0", "febf::1"},
		"a cloud's own":      {"168.63.129.16", "192.0.0.192", "fd00:ec2::254"},
		"protocols":          {"192.0.0.1", "192.0.0.255", "192.88.99.1", "2001::1", "2001:2::1", "2001:1ff:ffff::1"},
		"benchmarks":         {"198.18.0.0", "198.19.255.255"},
		"documentation":      {"192.0.2.1", "198.51.100.1", "203.0.113.255", "2001:db8::1", "3fff::1", "3fff:fff::1"},
		"multicast":          {"224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"},
		"reserved":           {"240.0.0.1", "255.255.255.254", "4000::1", "8000::1", "1fff::1"},
		"broadcast":          {"255.255.255.255"},
		"unspecified":        {"::", "::%eth0"},
		"IPv4-compatible":    {"::7f00:1", "::808:808"},
		"IPv4-translated":    {"::ffff:0:808:808"},
		"unique local":       {"fc00::1", "fdff:ffff::1"},
		"site-local":         {"fec0::1", "feff::1"},
		"discard":            {"100::1", "100:0:0:1::1"},
		"segment routing":    {"5f00::1"},
		"NAT64":              {"64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b::0.0.0.0"},
		"local NAT64":        {"64:ff9b:1::808:808", "64:ff9b:1::7f00:1", "64:ff9b:1:808:8:800::"},
		"NAT64's neighbours": {"64:ff9b::1:808:808", "64:ff9b:2::808:808"},
		"6to4":               {"2002:7f00:1::1", "2002:a00:1::1", "2002:a9fe:a9fe::", "2002:c0a8:101::1", "2002:e000:1::1"},
		"Teredo":             {"2001:0:808:808::1"},
		"IPv4-mapped":        {"::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0.0.0.0"},
	}
	guard := outbound.NewGuard(nil)
	for kind, addresses := range refused {
		for _, address := range addresses {
			if err := guard.Check(netip.MustParseAddr(address)); !errors.Is(err, outbound.ErrForbiddenAddress) {
				t.Errorf("%s: %s may be dialled", kind, address)
			}
		}
	}
	if err := guard.Check(netip.Addr{}); !errors.Is(err, outbound.ErrForbiddenAddress) {
		t.Error("no address at all may be dialled")
	}
}

func TestGuardLetsPublicAddressesPass(t *testing.T) {
	guard := outbound.NewGuard(nil)
	for _, address := range []string{
		"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0", "168.63.129.15", "168.63.129.17",
		"169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.0.3.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0",
		"198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255",
		"2001:200::1", "2606:4700:4700::1111", "2a00:1450:4001::1", "3ffe::1", "2001:db7:ffff::1", "2001:db9::1",
		"::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1",
	} {
		if err := guard.Check(netip.MustParseAddr(address)); err != nil {
			t.Errorf("%s may not be dialled: %v", address, err)
		}
	}
}

func TestGuardAllowsWhatTheOperatorAllowed(t *testing.T) {
	for _, c := range []struct {
		allow, address string
		want           bool
	}{
		{"10.1.0.0/16", "10.1.2.3", true},
		{"10.1.0.0/16", "10.2.0.1", false},
		{"10.1.2.3/16", "10.1.255.255", true}, // host bits do not matter
		{"10.1.0.0/16", "::ffff:10.1.2.3", true},
		{"::ffff:10.1.0.0/112", "10.1.2.3", true},
		{"10.1.0.0/16", "64:ff9b::10.1.2.3", true}, // leads to 10.1.2.3
		{"10.1.0.0/16", "2002:a01:203::1", true},
		{"64:ff9b:1::/48", "64:ff9b:1::808:808", true},
		{"127.0.0.0/8", "127.0.0.1", true},
		{"127.0.0.0/8", "::1", false},
		{"::1/128", "::1", true},
		{"fe80::/10", "fe80::1%eth0", true},
		{"fc00::/7", "fd12::1", true},
		{"0.0.0.0/0", "169.254.169.254", true},
		{"0.0.0.0/0", "fd12::1", false},
		{"::/0", "fd12::1", true},
		{"::/0", "10.0.0.1", false},
	} {
		err := outbound.NewGuard([]netip.Prefix{netip.MustParsePrefix(c.allow)}).Check(netip.MustParseAddr(c.address))
		if (err == nil) != c.want {
			t.Errorf("allow %s: %s: allowed = %v, want %v", c.allow, c.address, err == nil, c.want)
		}
	}
}

func TestCheckURL(t *testing.T) {
	const (
		good      = ""
		forbidden = "not allowed by --allow-private-cidrs"
	)
	guard := outbound.NewGuard([]netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")})
	for raw, want := range map[string]string{
		"https://mcp.example.com/mcp":         good,
		"http://mcp.example.com:8443/a?b=c":   good,
		"HTTPS://MCP.EXAMPLE.COM":             good,
		"https://8.8.8.8/mcp":                 good,
		"https://[2606:4700:4700::1111]:1/":   good,
		"http://10.9.1.1/":                    good,
		"https://a.1e100.net./":               good,
		"https://3com.example":                good,
		"":                                    "must begin with http",
		"mcp.example.com/mcp":                 "must begin with http",
		"//mcp.example.com/mcp":               "must begin with http",
		"ftp://mcp.example.com":               "must begin with http",
		"file:///etc/passwd":                  "must begin with http",
		"javascript:alert(1)":                 "must begin with http",
		"https:mcp.example.com":               "names no host",
		"https:///mcp":                        "names no host",
		"https://:443/mcp":                    "names no host",
		"https://user@mcp.example.com":        "user name or password",
		"https://u:sesame@mcp.example.com":    "user name or password",
		"https://@mcp.example.com":            "user name or password",
		"https://mcp.example.com/#top":        "fragment",
		"https://mcp.example.com/#":           "fragment",
		"https://mcp.example.com:0/":          "port",
		"https://mcp.example.com:65536/":      "port",
		"https://mcp.example.com:sesame/":     "valid URL",
		"https://mcp.example.com/\r\nX: y":    "valid URL",
		"https://mcp example.com/":            "valid URL",
		"https://mcp.example.com/%zz":         "valid URL",
		"http://127.0.0.1:8080/mcp":           forbidden,
		"http://127.0.0.1./mcp":               "complete IP address",
		"http://[::1]/":                       forbidden,
		"http://[::ffff:7f00:1]/":             forbidden,
		"http://[fe80::1%25eth0]/":            forbidden,
		"http://169.254.169.254/latest":       forbidden,
		"http://10.8.1.1/":                    forbidden,
		"http://localhost:3000/mcp":           forbidden,
		"http://LocalHost./":                  forbidden,
		"http://a.localhost/":                 forbidden,
		"http://127.1/":                       "complete IP address",
		"http://2130706433/":                  "complete IP address",
		"http://0x7f000001/":                  "complete IP address",
		"http://0177.0.0.01/":                 "complete IP address",
		"http://0x7F.1/":                      "complete IP address",
		"http://0.0.0.0]/":                    "complete IP address",
		"http://a$b/":                         "complete IP address",
		"http://b\u00fccher.example/":         good,
		"https://localhost.example.com/":      good,
		"https://mcp.example.com.evil.test/a": good,
	} {
		err := guard.CheckURL(raw)
		switch {
		case want == good && err != nil:
			t.Errorf("%q is refused: %v", raw, err)
		case want != good && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q gets %v, want an error about %q", raw, err, want)
		case err != nil && strings.Contains(err.Error(), "sesame"):
			t.Errorf("%q is repeated in its error: %v", raw, err)
		}
	}
	if err := outbound.NewGuard([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}).CheckURL("http://localhost:3000/mcp"); err != nil {
		t.Errorf("localhost is refused although loopback is allowed: %v", err)
	}
}

func FuzzCheckURLHoldsBack(f *testing.F) {
	for _, seed := range []string{"http://127.0.0.1/", "https://[::1]:1/", "http://user:x@h/", "http://0x7f.1", "https://mcp.example.com/mcp", "http://[::ffff:10.0.0.1]/", "http://0.0.0.0]/"} {
		f.Add(seed)
	}
	guard := outbound.NewGuard(nil)
	f.Fuzz(func(t *testing.T, raw string) {
		if guard.CheckURL(raw) != nil {
			return
		}
		lower := strings.ToLower(raw)
		if !strings.HasPrefix(lower, "http://") && !strings.HasPrefix(lower, "https://") {
			t.Errorf("%q has no scheme of ours and passes", raw)
		}
		authority, _, _ := strings.Cut(raw[strings.Index(raw, "//")+2:], "/")
		authority, _, _ = strings.Cut(authority, "?")
		if strings.Contains(authority, "@") || strings.Contains(raw, "#") {
			t.Errorf("%q passes", raw)
		}
		host := strings.Trim(authority, "[]")
		if address, err := netip.ParseAddr(host); err == nil && guard.Check(address) != nil {
			t.Errorf("%q passes and leads to a forbidden address", raw)
		}
	})
}
