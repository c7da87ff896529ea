package catalog

import "mcpsidecar/proxy/rpc"

// definition is a tool definition with the places of its parts; a part that is absent, or whose text is not a string, has an empty span.
type definition struct {
	text                                 []byte
	name                                 string // decoded
	nameAt                               span
	title, description, annotationsTitle span
	inputSchema, outputSchema            span
}

// locate finds the parts. It is false if the text is no object.
func locate(text []byte) (definition, bool) {
	d := definition{text: text}
	c := cursor{text: text}
	c.members(func(name span) {
		switch string(c.key(name)) {
		case "name":
			d.nameAt = c.stringOrSkip()
		case "title":
			d.title = c.stringOrSkip()
		case "description":
			d.description = c.stringOrSkip()
		case "inputSchema":
			d.inputSchema = c.skip()
		case "outputSchema":
			d.outputSchema = c.skip()
		case "annotations":
			d.annotationsTitle = c.titleInside()
		default:
			c.skip()
		}
	})
	c.peek()
	if c.bad || c.at != len(text) {
		return definition{}, false
	}
	d.name, _ = rpc.String(d.nameAt.of(text))
	return d, true
}

// stringOrSkip passes over a value and returns it if it is a string.
func (c *cursor) stringOrSkip() span {
	if c.peek() == '"' {
		return c.literal()
	}
	c.skip()
	return span{}
}

// titleInside passes over a value and returns the title it has if it is an object.
func (c *cursor) titleInside() (title span) {
	if c.peek() != '{' {
		c.skip()
		return span{}
	}
	c.members(func(name span) {
		if string(c.key(name)) == "title" {
			title = c.stringOrSkip()
		} else {
			c.skip()
		}
	})
	return title
}
