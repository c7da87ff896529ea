//go:build !amd64

package rpc

const fast = false
