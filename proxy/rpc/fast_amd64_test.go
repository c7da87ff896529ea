package rpc

var fast = hasAVX2
