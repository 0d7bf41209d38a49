package pack

import (
	"strings"
	"testing"
)

func TestConstraintAllows(t *testing.T) {
	tests := []struct {
		constraint string
		yes, no    string
	}{
		{"~=0.3.1", "0.3.1 0.3.2 0.3.99 v0.3.2", "0.3.0 0.4.0 1.3.1 0.3.2-rc.1 0.4.0-rc.1"},
		{"~=0.1", "0.1.0 0.1.99 0.2.0 0.99.1", "0.0.9 1.0.0 1.0.0-rc.1"},
		{"~=1.15.8", "1.15.8 1.15.20", "1.15.7 1.16.0 2.0.0"},
		{"~= 0.6.14", "0.6.14 0.6.15", "0.6.13 0.7.0"},
		{"~=v0.6.14", "0.6.14", "0.7.0"},
		{"~=0.3.1-rc.1", "0.3.1-rc.1 0.3.1-rc.2 0.3.1 0.3.5", "0.3.1-beta.1 0.4.0-alpha.1 0.4.0"},
		{"~=0.3.1, !=0.3.5", "0.3.1 0.3.6", "0.3.5 0.4.0"},
		{"==1.2.*", "1.2.0 1.2.9", "1.3.0"},
		{"===1.2.3", "1.2.3", "1.2.4"},
		{"4.15.2", "4.15.2", "4.15.1 4.15.3"},
		{"v1.14.2", "1.14.2 v1.14.2", "1.14.3"},
		{"^1.2", "1.2.0 1.9.0", "2.0.0"},
		{"~1.2.3", "1.2.3 1.2.9", "1.3.0"},
		{">=1 <2", "1.0.0 1.9.9", "2.0.0"},
		{"~=1.2.3 || ~=3.0", "1.2.3 3.5.0", "2.0.0 4.0.0"},
		{"", "0.0.1 99.0.0", "1.0.0-rc.1 latest"},
	}
	for _, tt := range tests {
		t.Run(tt.constraint, func(t *testing.T) {
			c, err := ParseConstraint(tt.constraint)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range strings.Fields(tt.yes) {
				if !c.Allows(v) {
					t.Errorf("%q refuses %s", tt.constraint, v)
				}
			}
			for _, v := range strings.Fields(tt.no) {
				if c.Allows(v) {
					t.Errorf("%q allows %s", tt.constraint, v)
				}
			}
		})
	}
}

func TestConstraintRefused(t *testing.T) {
	tests := []struct{ constraint, mend string }{
		{"~=1", "two or three numbers"},
		{"~=1.2.3.4", "two or three numbers"},
		{"~=1.x", "two or three numbers"},
		{"~=", "two or three numbers"},
		{"newest", "use ~=X.Y.Z"},
		{">= banana", "use ~=X.Y.Z"},
	}
	for _, tt := range tests {
		t.Run(tt.constraint, func(t *testing.T) {
			_, err := ParseConstraint(tt.constraint)
			if err == nil || !strings.Contains(err.Error(), tt.mend) || !strings.Contains(err.Error(), tt.constraint) {
				t.Errorf("got %v, want an error that quotes %q and says %q", err, tt.constraint, tt.mend)
			}
		})
	}
}

func TestConstraintNewest(t *testing.T) {
	versions := []string{"0.3.1", "garbage", "0.3.10", "0.4.0", "0.3.9", "0.5.0-rc.1"}
	tests := []struct{ constraint, want string }{
		{"~=0.3.1", "0.3.10"},
		{"~=0.3", "0.4.0"},
		{"", "0.4.0"},
		{"~=0.9.0", ""},
		{"0.5.0-rc.1", "0.5.0-rc.1"},
	}
	for _, tt := range tests {
		c, err := ParseConstraint(tt.constraint)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Newest(versions); got != tt.want {
			t.Errorf("newest for %q is %q, want %q", tt.constraint, got, tt.want)
		}
	}
	if got := NewestOf(versions); got != "0.4.0" {
		t.Errorf("newest of all is %q, want 0.4.0", got)
	}
}
