package rpc

import (
	"bytes"
	"strings"
)

// AppendEvent appends one event of type message with data; id may be empty. Data with line breaks becomes several data lines. An id that an event cannot carry (with a line break or NUL) is left out.
func AppendEvent(dst []byte, id string, data []byte) []byte {
	dst = appendEventHead(dst, id)
	for {
		line, rest, more := cutLine(data)
		dst = append(append(append(dst, "data: "...), line...), '\n')
		if !more {
			return append(dst, '\n')
		}
		data = rest
	}
}

func appendEventHead(dst []byte, id string) []byte {
	dst = append(dst, "event: message\n"...)
	if id != "" && !strings.ContainsAny(id, "\r\n\x00") {
		dst = append(append(append(dst, "id: "...), id...), '\n')
	}
	return dst
}

// cutLine cuts after the first line break: CR, LF or CR LF.
func cutLine(data []byte) (line, rest []byte, more bool) {
	i := bytes.IndexAny(data, "\r\n")
	if i < 0 {
		return data, nil, false
	}
	line, rest = data[:i], data[i+1:]
	if data[i] == '\r' && len(rest) > 0 && rest[0] == '\n' {
		rest = rest[1:]
	}
	return line, rest, true
}
