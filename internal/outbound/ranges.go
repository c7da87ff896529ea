package outbound

import "net/netip"

// The two lists below follow the special-purpose registries of IANA. netip's own predicates do not: they take 64:ff9b::169.254.169.254, 2002:7f00:1::1, fec0::1, 100.64.0.1, 198.18.0.1,
// 240.0.0.1 and 192.0.0.192 for ordinary public addresses.

// specialV4 is what of IPv4 is not globally routable, or routable and never a stranger's server.
var specialV4 = prefixes(
	"0.0.0.0/8",          // this network; 0.0.0.0 reaches the machine itself
	"10.0.0.0/8",         // private
	"100.64.0.0/10",      // shared by carriers; clouds put metadata there, too
	"127.0.0.0/8",        // loopback
	"168.63.129.16/32",   // the host agent of Azure: public by number, local by routing
	"169.254.0.0/16",     // link-local; metadata of most clouds
	"172.16.0.0/12",      // private
	"192.0.0.0/24",       // protocol assignments; metadata of Oracle's cloud
	"192.0.2.0/24",       // documentation
	"192.88.99.0/24",     // 6to4 relays
	"192.168.0.0/16",     // private
	"198.18.0.0/15",      // benchmarks
	"198.51.100.0/24",    // documentation
	"203.0.113.0/24",     // documentation
	"224.0.0.0/4",        // multicast
	"240.0.0.0/4",        // reserved
	"255.255.255.255/32", // broadcast
)

// globalV6 is all of IPv6 that is given out as global unicast. Everything outside is refused unseen, ::, ::1, fc00::/7, fe80::/10, fec0::/10, ff00::/8, the discard prefix 100::/64 and
// 64:ff9b:1::/48 among it.
var globalV6 = netip.MustParsePrefix("2000::/3")

// specialV6 is what of globalV6 is special all the same.
var specialV6 = prefixes(
	"2001::/23",     // protocol assignments: Teredo, benchmarks, ORCHID
	"2001:db8::/32", // documentation
	"3fff::/20",     // documentation
)

// The prefixes whose addresses carry an IPv4 address that a gateway sends the packet to. Only the well-known one of NAT64 is here: of 64:ff9b:1::/48 nobody outside the network can say where in the
// address the IPv4 address is.
var (
	nat64  = netip.MustParsePrefix("64:ff9b::/96")
	sixTo4 = netip.MustParsePrefix("2002::/16")
)

// embedded returns the IPv4 address that an IPv6 address leads to.
func embedded(address netip.Addr) (netip.Addr, bool) {
	bytes := address.As16()
	switch {
	case nat64.Contains(address):
		return netip.AddrFrom4([4]byte(bytes[12:16])), true
	case sixTo4.Contains(address):
		return netip.AddrFrom4([4]byte(bytes[2:6])), true
	}
	return netip.Addr{}, false
}

// global says whether an address is globally routable. The address is neither IPv4-mapped nor zoned.
func global(address netip.Addr) bool {
	if address.Is4() {
		return !within(specialV4, address)
	}
	return globalV6.Contains(address) && !within(specialV6, address)
}

func within(list []netip.Prefix, address netip.Addr) bool {
	for _, prefix := range list {
		if prefix.Contains(address) {
			return true
		}
	}
	return false
}

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParsePrefix(text)
	}
	return list
}
