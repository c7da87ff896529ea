package proxy

import (
	"bytes"

	"mcpsidecar/proxy/rpc"
)

// OpenTicket says whether a raw requestState is one that this key has sealed.
func OpenTicket(key [32]byte, raw []byte) bool {
	s, err := newSealer(key)
	if err != nil {
		return false
	}
	_, err = s.openTicket(raw)
	return err == nil
}

// SealTicket seals a ticket with a server's state, and opens it again.
func SealTicket(key [32]byte, user string, state []byte) (raw, again []byte, err error) {
	s, err := newSealer(key)
	if err != nil {
		return nil, nil, err
	}
	if raw, err = s.sealTicket(&ticket{User: user, State: state}); err != nil {
		return nil, nil, err
	}
	opened, err := s.openTicket(raw)
	if err != nil || opened.User != user {
		return raw, nil, err
	}
	return raw, opened.State, nil
}

// Responses reads the answers of a retry, and returns that to a question; why says that they cannot be read.
func Responses(params []rpc.Member, question int) (answer []byte, why string) {
	responses, why := responsesIn(params)
	return find(responses, keyOf(question)), why
}

// Played reads what a modern server wants, and returns the requests that a legacy client is sent for it.
func Played(m *rpc.Message, declared []byte) (requests [][]byte, state []byte, why string) {
	in, why := readInputs(m, declared)
	if why != "" {
		return nil, nil, why
	}
	kept := in.keep()
	for _, wanted := range kept.wanted {
		q := &question{id: newSessionID(), key: wanted.key}
		requests = append(requests, q.request(wanted.method, withElicitationID(wanted.method, wanted.params)))
	}
	return requests, kept.state, ""
}

// Answered is what a modern server gets of a client's answer to its question of this key; nil: the client answered with an error.
func Answered(key string, m *rpc.Message) (inputResponses []byte) {
	got := (&question{key: key}).answer(m)
	if got.result == nil {
		return nil
	}
	return rpc.AppendObject(nil, []rpc.Member{{Name: got.key, Value: got.result}})
}

// Asked is what a modern client is sent for the requests of a legacy server.
func Asked(requests []rpc.Message, state []byte) []byte {
	var asked []posed
	for i, m := range requests {
		asked = append(asked, posed{input: input{key: keyOf(i), method: m.Method, params: bytes.Clone(orEmpty(m.Params))}})
	}
	return inputRequired(asked, nil, state)
}
