package helm

import (
	"testing"

	release "helm.sh/helm/v4/pkg/release/v1"
)

// The digests in this file are those that helm-controller's own tests expect.

func TestDigestOfARelease(t *testing.T) {
	const want = "sha256:f1498f27a16a09cd7e1ee610d924df065c03d30035638babc95dd9a8d412ce4d"
	tests := &release.Hook{Name: "check", Events: []release.HookEvent{release.HookTest}}
	for name, r := range map[string]*release.Release{
		"a name":                      {Name: "foo"},
		"tests are no part of it":     {Name: "foo", Hooks: []*release.Hook{tests}},
		"empty values are no values":  {Name: "foo", Config: map[string]any{}},
		"labels are no part of it":    {Name: "foo", Labels: map[string]string{"a": "b"}},
		"the method is no part of it": {Name: "foo", ApplyMethod: "ssa"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := observe(r, nil).Digest(""); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
	o := observe(&release.Release{Name: "foo"}, nil)
	if got := string(o.body); got[len(got)-2:] != "}\n" || o.Digest("sha256:abc") == want {
		t.Errorf("the digest of the artifact does not count in %q", got)
	}
}

func TestConfigDigest(t *testing.T) {
	for name, tt := range map[string]struct{ values, want string }{
		"nothing": {"{}", "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		"maps and lists": {
			"replicas: 3\nports: [{protocol: TCP, port: 8080}, {port: 9090, protocol: UDP}]\nimage: {tag: latest, repository: nginx}\n",
			"sha256:fcdc2b0de1581a3633ada4afee3f918f6eaa5b5ab38c3fef03d5b48d3f85d9f6",
		},
		"keys that look like numbers": {
			"test: {632bd80235a05f4192aefade: value1, 632bd80ddf416cf32fd50679: value2, 632bd817c559818a52307da2: value3, 632bd82398e71231a98004b6: value4}\nreplicas: 3\n",
			"sha256:8a980fcbeadd6f05818f07e8aec14070c22250ca3d96af1fcd5f93b3e85b4d70",
		},
	} {
		t.Run(name, func(t *testing.T) {
			values, err := ReadValues([]byte(tt.values))
			if err != nil {
				t.Fatal(err)
			}
			if got := ConfigDigest(values); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
