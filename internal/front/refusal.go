package front

import (
	"encoding/json"
	"net/http"
)

// refusal is an answer that comes from no handler.
type refusal struct {
	status int
	reason string // one word, for metrics
	body   []byte
}

func newRefusal(status int, reason, message string) *refusal {
	body, err := json.Marshal(map[string]string{"message": message})
	if err != nil {
		panic(err) // of a map of strings: cannot happen
	}
	return &refusal{status: status, reason: reason, body: body}
}

// Every refusal there is. None repeats anything of the request.
var (
	foreignHost   = newRefusal(http.StatusForbidden, "host", "this is not a Host of mine; if it should be, start me with it as --public-url")
	foreignOrigin = newRefusal(http.StatusForbidden, "origin", "web pages of this Origin may not talk to me; if it is mine, start me with it as --public-url")
	badTarget     = newRefusal(http.StatusBadRequest, "target", "the path of the request can be read in more than one way")
	longTarget    = newRefusal(http.StatusRequestURITooLong, "length", "the target of the request is longer than 8 KiB")
	largeHeaders  = newRefusal(http.StatusRequestHeaderFieldsTooLarge, "headers", "the headers of the request are larger than 16 KiB")
	encodedBody   = newRefusal(http.StatusUnsupportedMediaType, "encoding", "the body of the request must not be compressed")
	internalError = newRefusal(http.StatusInternalServerError, "panic", "something went wrong in here; the log has it under the X-Request-Id of this answer")
)

// write answers and ends the connection: what is left of the request is not read.
func (f *refusal) write(w http.ResponseWriter) {
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header["Connection"] = closing
	header.Del("Content-Length")
	header.Del("Content-Encoding")
	w.WriteHeader(f.status)
	w.Write(f.body)
}
