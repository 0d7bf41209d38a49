package charts_test

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/idna"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestHosts holds that a host name beyond ASCII becomes what browsers make of it, or is refused; never something else.
func TestHosts(t *testing.T) {
	render := renderer(t, "genpack")
	for host, refused := range map[string]bool{
		"app.example.com":      false,
		"*.example.com":        false,
		"سلام.example":         false,
		"فروشگاه.ایران":        false,
		"شرکت۱۲.example":       false,
		"پایگاه-داده.example":  false,
		"مثال.إختبار":          false,
		"bücher.example":       false,
		"Bücher.EXAMPLE":       false,
		"*.straße.example":     false,
		"mañana-Ñandú.example": false,
		"пример.испытание":     false,
		"ΠΑΡΆΔΕΙΓΜΑ.δοκιμή":    false,
		"例え.テスト":               false,
		"コーヒー.example":         false,
		"例子.测试":                false,
		"उदाहरण.परीक्षा":       false,
		"예제.테스트":               false,
		"דוגמה.טעסט":           false,
		"xn--mgbx5cf.example":  false,
		"a.b.ü.c.example":      false,
		"üüüüüüüüüüüüüüüüüüüüüüüü.example": false,

		"bu\u0308cher.example":                 true, // not composed
		"می\u200cخواهم.example":                true, // a joiner, which not every browser keeps
		"ﷲ.example":                            true, // a presentation form
		"ａｂｃ.example":                          true, // full width
		"☃.example":                            true,
		"😀.example":                            true,
		"سلام。example":                         true,
		"-ü.example":                           true,
		"ü-.example":                           true,
		"ab--ü.example":                        true,
		"ü ü.example":                          true,
		"ü_ü.example":                          true,
		"https://ü.example":                    true,
		"ü.example:80":                         true,
		"x²ü.example":                          true,
		"ʰü.example":                           true,
		strings.Repeat("ü", 60) + ".example":   true,
		strings.Repeat("a", 64) + ".example":   true,
		strings.Repeat("abcdefg.", 32) + "com": true,
	} {
		values := parse(t, "gonbad: {ingresses: {web: {serviceName: web, servicePort: http, hosts: [{}]}}}")
		web, _, _ := unstructured.NestedMap(values, "gonbad", "ingresses", "web")
		web["hosts"] = []any{map[string]any{"host": host}}
		if err := unstructured.SetNestedMap(values, web, "gonbad", "ingresses", "web"); err != nil {
			t.Fatal(err)
		}
		text := render("app", values)
		if said := strings.Contains(text, "xn-- (punycode) form") || strings.Contains(text, "is not a host name"); said != refused {
			t.Errorf("%s: refused is %v, want %v:\n%s", host, said, refused, text)
			continue
		}
		if refused {
			continue
		}
		star, rest, wild := strings.Cut(host, "*.")
		if !wild {
			star, rest = "", host
		} else {
			star = "*."
		}
		want, err := idna.Lookup.ToASCII(rest)
		if err != nil {
			t.Fatalf("%s: the case is no host name: %v", host, err)
		}
		if got := firstHost(t, text); got != star+want {
			t.Errorf("%s became %s, want %s", host, got, star+want)
		}
	}
}

// firstHost returns the host of the first rule of the only Ingress.
func firstHost(t *testing.T, text string) string {
	t.Helper()
	rules, found, err := unstructured.NestedSlice(parse(t, text), "spec", "rules")
	if err != nil || !found {
		t.Fatalf("there are no rules: %v\n%s", err, text)
	}
	return rules[0].(map[string]any)["host"].(string)
}

// hostScripts are the blocks of Unicode whose letters a host name may have: first, last, and the step from one that is
// tried to the next.
var hostScripts = [][3]rune{
	{0xc0, 0x24f, 5}, {0x370, 0x52f, 7}, {0x561, 0x586, 7}, {0x5d0, 0x6ff, 3}, {0x900, 0x97f, 7}, {0xe00, 0xe5f, 5},
	{0x10d0, 0x10fa, 7}, {0x1e00, 0x1eff, 11}, {0x3040, 0x30ff, 7}, {0x4e00, 0x9fff, 997}, {0xac00, 0xd7a3, 997},
}

// TestHostLetters holds the same for letters of all scripts that names are written in: what is accepted is what the
// idna library makes of it.
func TestHostLetters(t *testing.T) {
	var hosts []any
	for _, script := range hostScripts {
		for r := script[0]; r <= script[1]; r += script[2] {
			host := "a" + string(r) + "e"
			if r >= 0x590 && r < 0x700 {
				host = "س" + string(r) + "س"
			}
			// What the library refuses, the domain name system does not have.
			if _, err := idna.Lookup.ToASCII(host); err == nil {
				hosts = append(hosts, host)
			}
		}
	}
	render := renderer(t, "genpack")
	accepted := 0
	for chunk := range slices.Chunk(hosts, 32) {
		accepted += checkHosts(t, render, chunk)
	}
	if accepted < len(hosts)*8/10 {
		t.Errorf("only %d of %d names are accepted", accepted, len(hosts))
	}
}

var refusedHost = regexp.MustCompile(`hosts\[(\d+)\]: .* xn--`)

// checkHosts renders hosts without those that are refused, and returns how many are left.
func checkHosts(t *testing.T, render func(string, map[string]any) string, hosts []any) int {
	t.Helper()
	var text string
	for {
		text = render("app", map[string]any{"global": map[string]any{
			"issuer":      map[string]any{"name": "ours"},
			"certificate": map[string]any{"create": true, "hosts": hosts},
		}})
		found := refusedHost.FindStringSubmatch(text)
		if found == nil {
			break
		}
		i, err := strconv.Atoi(found[1])
		if err != nil {
			t.Fatal(err)
		}
		if hosts = slices.Delete(hosts, i, i+1); len(hosts) == 0 {
			return 0
		}
	}
	names, _, err := unstructured.NestedStringSlice(parse(t, text), "spec", "dnsNames")
	if err != nil || len(names) != len(hosts) {
		t.Fatalf("%v make %v: %v\n%s", hosts, names, err, text)
	}
	for i, host := range hosts {
		if want, err := idna.Lookup.ToASCII(host.(string)); err != nil || want != names[i] {
			t.Errorf("%q became %s, want %s", host, names[i], want)
		}
	}
	return len(hosts)
}
