package git

import "strings"

// Tags returns the names of the tags that the repository had when the connection was made, in no order.
func (c *Connection) Tags() []string {
	var names []string
	for name := range c.refs.References {
		if tag, ok := strings.CutPrefix(name, tagPrefix); ok {
			names = append(names, tag)
		}
	}
	return names
}
