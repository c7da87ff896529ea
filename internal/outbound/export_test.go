package outbound

import "net"

// WithResolver makes clients look names up in a resolver that a test controls.
func WithResolver(config Config, resolver *net.Resolver) Config {
	config.resolver = resolver
	return config
}
