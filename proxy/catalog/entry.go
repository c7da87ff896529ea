package catalog

// CleanEntry returns a listed prompt, resource or template with the texts that a model or a person reads cleaned as those of tools are: its title and description, those of its arguments, and its name where it is known by another
// member, its key. removed says that something was taken out. The text was read strictly already.
func CleanEntry(text []byte, key string) (clean []byte, removed bool) {
	t := texts{text: text, longest: Limits{}.withDefaults().Description}
	c := cursor{text: text}
	c.members(func(name span) {
		switch string(c.key(name)) {
		case key:
			c.skip()
		case "name":
			t.lookAtNext(&c)
		case "arguments":
			t.arguments(&c)
		default:
			t.prose(&c, name)
		}
	})
	if c.bad || len(t.edits) == 0 {
		return text, false
	}
	return t.apply(), t.found.removed
}

// arguments cleans a prompt's arguments.
func (t *texts) arguments(c *cursor) {
	if c.peek() != '[' {
		c.skip()
		return
	}
	c.elements(func() {
		if c.peek() != '{' {
			c.skip()
			return
		}
		c.members(func(name span) { t.prose(c, name) })
	})
}

// prose passes over a member's value, and cleans it if it is a text to be read.
func (t *texts) prose(c *cursor, name span) {
	switch string(c.key(name)) {
	case "title", "description":
		t.lookAtNext(c)
	default:
		c.skip()
	}
}

// lookAtNext passes over a value and cleans it if it is a string.
func (t *texts) lookAtNext(c *cursor) {
	if at := c.stringOrSkip(); !at.empty() {
		t.look(at)
	}
}
