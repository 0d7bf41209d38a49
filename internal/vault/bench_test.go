package vault

import "testing"

// BenchmarkOpen is what a Pack's pass pays for a text: the first time, and from then on.
func BenchmarkOpen(b *testing.B) {
	key, err := NewKey("a", password, nil)
	if err != nil {
		b.Fatal(err)
	}
	text, err := key.Encrypt([]byte("hunter22"))
	if err != nil {
		b.Fatal(err)
	}
	parsed, err := Parse(text)
	if err != nil {
		b.Fatal(err)
	}
	for name, forget := range map[string]bool{"first": true, "again": false} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if forget {
					key.stretched = nil
				}
				if _, _, err := key.Decrypt(parsed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
