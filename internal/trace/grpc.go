package trace

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"strconv"
)

// grpcMethod is the path of the one method that is called.
const grpcMethod = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

// The codes of gRPC after which OTLP allows the same to be sent again: cancelled, deadline exceeded, resource exhausted, aborted, out of range, unavailable, data loss.
var temporaryCodes = map[int]bool{1: true, 4: true, 8: true, 10: true, 11: true, 14: true, 15: true}

// call sends one batch as a unary call (gRPC over HTTP2): a POST whose body is one message with its length before it, answered by another one and by trailers with the status.
func (c *client) call(ctx context.Context, message []byte) error {
	body := make([]byte, 5, 5+len(message))
	if c.settings.gzip {
		body[0] = 1
	}
	binary.BigEndian.PutUint32(body[1:], uint32(len(message)))
	response, err := c.post(ctx, append(body, message...), http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}}, "Grpc-Encoding")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer := readAnswer(response.Body)
	status := response.Trailer.Get("Grpc-Status")
	if status == "" { // an answer without a message has it among its headers
		status = response.Header.Get("Grpc-Status")
	}
	code, err := strconv.Atoi(status)
	switch {
	case err != nil:
		return &temporary{err: fmt.Errorf("the collector answered with HTTP status %d and no status of gRPC", response.StatusCode)}
	case code == 0 && len(answer) >= 5 && answer[0] == 0:
		return readPartial(answer[5:])
	case code == 0:
		return nil
	}
	err = fmt.Errorf("the collector answered with gRPC status %d", code)
	if temporaryCodes[code] {
		return &temporary{err: err}
	}
	return err
}
