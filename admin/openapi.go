package admin

import (
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// describe makes the OpenAPI 3.1 document of the routes.
func describe(routes []Route, public *url.URL, version string) ([]byte, error) {
	components := &schemas{byName: object{}}
	failure := components.of(reflect.TypeFor[Failure](), false)
	paths := object{}
	for _, route := range routes {
		path := route.templated()
		item, known := paths[path].(object)
		if !known {
			item = object{}
			paths[path] = item
		}
		item[strings.ToLower(route.Method)] = components.operation(route, failure)
	}
	document := object{
		"openapi": "3.1.0",
		"info": object{
			"title":       "mcp-sidecar management API",
			"description": "External MCP servers, who may use which of their tools, and the tokens of those who do.",
			"version":     orElse(version, "unknown"),
		},
		"paths":    paths,
		"security": []any{object{"bearer": []any{}}},
		"components": object{
			"schemas": components.byName,
			"securitySchemes": object{
				"session": object{"type": "apiKey", "in": "cookie", "name": sessionCookie, "description": "a page session; where the sidecar is reached by https, the name begins with __Host-"},
				"bearer":  object{"type": "http", "scheme": "bearer", "description": "a token of the form mcps_<id>_<secret>"},
			},
		},
	}
	if public != nil {
		document["servers"] = []any{object{"url": strings.TrimSuffix(public.String(), "/")}}
	}
	body, err := encode(document)
	if err != nil {
		return nil, fmt.Errorf("encoding the OpenAPI document: %w", err)
	}
	return body, nil
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// templated is the route's path as OpenAPI spells it.
func (r Route) templated() string {
	path := r.Path
	for _, name := range r.parameters() {
		path = strings.Replace(path, ":"+name, "{"+name+"}", 1)
	}
	return path
}

func (s *schemas) operation(route Route, failure object) object {
	operation := object{
		"operationId": route.operationID(),
		"summary":     route.Summary,
		"description": "Roles: " + route.roles() + ".",
		"responses":   s.responses(route, failure),
	}
	if parameters := s.parameters(route); len(parameters) > 0 {
		operation["parameters"] = parameters
	}
	switch {
	case route.Open:
		operation["security"] = []any{}
	case route.Session:
		operation["security"] = []any{object{"bearer": []any{}}, object{"session": []any{}}}
	}
	if route.takesBody() {
		_, optional := reflect.Zero(route.endpoint.in).Interface().(interface{ bodyless() })
		operation["requestBody"] = object{"required": !optional, "content": content(s.of(route.endpoint.in, true))}
	}
	return operation
}

// operationID is unique because it is the route.
func (r Route) operationID() string {
	id := strings.ToLower(r.Method) + strings.TrimPrefix(r.templated(), "/api")
	if strings.HasSuffix(id, "/") {
		id += "slash"
	}
	return strings.NewReplacer("/", "_", "{", "", "}", "", ".", "_").Replace(id)
}

func (r Route) roles() string {
	switch {
	case r.Open:
		return "none is needed"
	case r.Admin:
		return "admin"
	case r.Agents:
		return "admin, user and agent"
	}
	return "admin and user"
}

func (r Route) takesBody() bool { return r.takesInput() && r.Method != http.MethodGet }

func (r Route) takesInput() bool { return r.endpoint.in != reflect.TypeFor[nothing]() }

// conditional says whether the route heeds If-Match.
func (r Route) conditional() bool {
	return strings.HasPrefix(r.Path, "/api/") && strings.Contains(r.Path, "/servers/:") && (r.Method == http.MethodPatch || r.Method == http.MethodDelete && len(r.parameters()) == 1 && !strings.Contains(r.Path, "/oauth2/") || strings.HasSuffix(r.Path, "/approve"))
}

func (s *schemas) parameters(route Route) []any {
	var parameters []any
	for _, name := range route.parameters() {
		parameters = append(parameters, object{"name": name, "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	if route.conditional() {
		parameters = append(parameters, object{"name": "If-Match", "in": "header", "schema": object{"type": "string"},
			"description": "the ETag of what the caller looked at; if it is not the present one, nothing is done"})
	}
	if !route.takesInput() || route.takesBody() {
		return parameters
	}
	required := requiredOf(route.endpoint.in)
	for _, field := range reflect.VisibleFields(route.endpoint.in) {
		name := jsonName(field)
		parameters = append(parameters, object{
			"name": name, "in": "query", "required": slices.Contains(required, name), "description": field.Tag.Get("doc"), "schema": object{"type": "string"},
		})
	}
	return parameters
}

func content(schema object) object { return object{"application/json": object{"schema": schema}} }

// responses lists the success and every failure that the kind of route can meet; whatever else may happen has the same shape.
func (s *schemas) responses(route Route, failure object) object {
	responses := object{strconv.Itoa(route.Status): s.success(route)}
	failures := content(failure)
	if route.page {
		failures = pageContent
	}
	for _, status := range route.failures() {
		responses[strconv.Itoa(status)] = object{"description": http.StatusText(status), "content": failures}
	}
	responses["default"] = object{"description": "any other failure", "content": failures}
	return responses
}

var pageContent = object{"text/html": object{"schema": object{"type": "string"}}}

// asksServer says that the answer needs the server's tools.
func (r Route) asksServer() bool {
	return strings.HasSuffix(r.Path, "/tools") || strings.Contains(r.Path, "/catalog/")
}

func (s *schemas) success(route Route) object {
	success := object{"description": http.StatusText(route.Status)}
	switch route.endpoint.out {
	case reflect.TypeFor[nothing]():
	case reflect.TypeFor[page]():
		success["content"] = pageContent
	case reflect.TypeFor[departure]():
		uri := object{"schema": object{"type": "string", "format": "uri"}}
		success["headers"] = object{"Location": uri, "Set-Cookie": object{"schema": object{"type": "string"}}}
	default:
		success["content"] = content(s.output(route.endpoint.out))
	}
	return success
}

// output is the schema of an answer; the document itself is any object.
func (s *schemas) output(t reflect.Type) object {
	schema := s.of(t, false)
	if len(schema) == 0 {
		return object{"type": "object"}
	}
	return schema
}

func (r Route) failures() []int {
	statuses := []int{http.StatusServiceUnavailable}
	if !r.Open {
		statuses = append(statuses, http.StatusUnauthorized, http.StatusTooManyRequests)
	}
	if !r.Agents && !r.Open || strings.HasSuffix(r.Path, "/link") || r.endpoint.out == reflect.TypeFor[departure]() {
		statuses = append(statuses, http.StatusForbidden)
	}
	if r.page || r.endpoint.out == reflect.TypeFor[departure]() || strings.HasSuffix(r.Path, "/rediscover") {
		statuses = append(statuses, http.StatusBadRequest)
	}
	if r.takesInput() {
		statuses = append(statuses, http.StatusBadRequest)
	}
	if r.takesBody() {
		statuses = append(statuses, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	if r.parameter(0) != "" {
		statuses = append(statuses, http.StatusNotFound)
	}
	if r.conditional() {
		statuses = append(statuses, http.StatusPreconditionFailed)
	}
	if (r.Method != http.MethodGet || r.once) && !strings.HasSuffix(r.Path, "/test") {
		statuses = append(statuses, http.StatusInsufficientStorage)
	}
	if r.takesBody() && strings.Contains(r.Path, "/servers") && !r.beside && !strings.HasSuffix(r.Path, "/link") || r.asksServer() {
		statuses = append(statuses, http.StatusConflict)
	}
	if r.asksServer() {
		statuses = append(statuses, http.StatusBadGateway)
	}
	return statuses
}
