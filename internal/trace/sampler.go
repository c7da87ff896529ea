package trace

import (
	"strconv"
	"strings"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// sampler decides which traces are recorded. By default that is the caller's decision, and a trace that begins here is recorded.
func (e *environment) sampler() sdk.Sampler {
	const name = "OTEL_TRACES_SAMPLER"
	switch value := strings.ToLower(e.get(name)); value {
	case "", "parentbased_always_on":
	case "always_on":
		return sdk.AlwaysSample()
	case "always_off":
		return sdk.NeverSample()
	case "traceidratio":
		return sdk.TraceIDRatioBased(e.ratio())
	case "parentbased_always_off":
		return sdk.ParentBased(sdk.NeverSample())
	case "parentbased_traceidratio":
		return sdk.ParentBased(sdk.TraceIDRatioBased(e.ratio()))
	default:
		e.warn("%s has %q, which is not known here; parentbased_always_on is used", name, value)
	}
	return sdk.ParentBased(sdk.AlwaysSample())
}

// ratio is how much of all traces is recorded.
func (e *environment) ratio() float64 {
	const name = "OTEL_TRACES_SAMPLER_ARG"
	value := e.get(name)
	if value == "" {
		return 1
	}
	ratio, err := strconv.ParseFloat(value, 64)
	if err != nil || !(ratio >= 0 && ratio <= 1) {
		e.warn("%s must be a number from 0 to 1; 1 is used", name)
		return 1
	}
	return ratio
}
