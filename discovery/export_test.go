package discovery

// Remembered is how many discoveries are remembered.
func (c *Client) Remembered() int {
	c.memory.mu.Lock()
	defer c.memory.mu.Unlock()
	return len(c.memory.entries)
}
