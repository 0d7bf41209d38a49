package vault

import (
	"math"
	"regexp"
	"strings"
)

// keyHint is in the first line of a private key.
const keyHint = "PRIVATE KEY"

// forms are texts that are secrets wherever they stand. The first group of an expression is the secret.
var forms = []struct {
	rule string
	// hint is in every match: looking for it first is much faster than the expression.
	hint string
	form *regexp.Regexp
}{
	{"a private key", keyHint, regexp.MustCompile(`(-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----)`)},
	{"an age private key", "AGE-SECRET-KEY-", regexp.MustCompile(`(AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]{50,})`)},
	{"an access key of AWS", "AKIA", regexp.MustCompile(`\b(AKIA[0-9A-Z]{16})\b`)},
	{"a token of GitHub", "gh", regexp.MustCompile(`\b(gh[pousr]_[0-9A-Za-z]{36,}|github_pat_[0-9A-Za-z_]{60,})\b`)},
	{"a token of GitLab", "gl", regexp.MustCompile(`\b(gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|soat)-[0-9A-Za-z_-]{20,})`)},
	{"a token of Slack", "xox", regexp.MustCompile(`\b(xox[abeoprs]-[0-9A-Za-z-]{10,})`)},
	{"a webhook of Slack", "hooks.slack.com", regexp.MustCompile(`hooks\.slack\.com/(?:services|workflows)/(T[0-9A-Za-z_/]{20,})`)},
	{"a key of Google", "AIza", regexp.MustCompile(`\b(AIza[0-9A-Za-z_-]{35})`)},
	{"a key of Stripe", "k_live_", regexp.MustCompile(`\b([rs]k_live_[0-9A-Za-z]{20,})\b`)},
	{"a token of npm", "npm_", regexp.MustCompile(`\b(npm_[0-9A-Za-z]{36})\b`)},
	{"a token of PyPI", "pypi-", regexp.MustCompile(`\b(pypi-AgEI[0-9A-Za-z_-]{50,})`)},
	{"a token of Docker Hub", "dckr_", regexp.MustCompile(`\b(dckr_[po]at_[0-9A-Za-z_-]{20,})`)},
	{"a token of HashiCorp Vault", "hv", regexp.MustCompile(`\b(hv[sb]\.[0-9A-Za-z_-]{24,})`)},
	{"a token of DigitalOcean", "_v1_", regexp.MustCompile(`\b(do[oprt]_v1_[0-9a-f]{64})\b`)},
	{"a key of SendGrid", "SG.", regexp.MustCompile(`\b(SG\.[0-9A-Za-z_-]{20,24}\.[0-9A-Za-z_-]{39,50})`)},
	{"a token of a Telegram bot", ":AA", regexp.MustCompile(`\b([0-9]{8,10}:AA[0-9A-Za-z_-]{33})\b`)},
	{"a signed token (JWT)", "eyJ", regexp.MustCompile(`\b(eyJ[0-9A-Za-z_-]{10,}\.eyJ[0-9A-Za-z_-]{10,}\.[0-9A-Za-z_-]{20,})`)},
	{"the password of an address", "://", credentials},
	{"a login in a header", "uthorization", regexp.MustCompile(`(?i)authorization["']?\s*[:=]\s*["']?(?:bearer|basic)\s+([0-9A-Za-z+/._=-]{16,})`)},
}

// credentials finds the password in an address.
var credentials = regexp.MustCompile(`\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s:/@"'<>]*:([^\s/@"'<>]+)@[^\s/@]`)

// text holds every line against the forms.
func (s *scan) text() {
	for i, line := range s.lines {
		s.line(i, line, "")
	}
}

// line looks at a text of the line at index i.
func (s *scan) line(i int, text, field string) {
	for _, f := range forms {
		if !strings.Contains(text, f.hint) {
			continue
		}
		for _, match := range f.form.FindAllStringSubmatch(text, -1) {
			if !placeholder(match[1]) && (s.deployed || !sample.MatchString(match[1])) && (f.hint != keyHint || s.body(i)) {
				s.report(i+1, field, f.rule, match[1])
			}
		}
	}
}

var keyBody = regexp.MustCompile(`^(?:[\w-]+: |$|[0-9A-Za-z+/=]{16,})|-----(?:\\r)?\\n[0-9A-Za-z+/=]{16,}`)

// body says whether the line after the head of a key, or the rest of that line, looks like a key: a program that reads keys
// has the head alone.
func (s *scan) body(line int) bool {
	next := ""
	if line+1 < len(s.lines) {
		next = strings.TrimSpace(s.lines[line+1])
	}
	return next != "" && keyBody.MatchString(next) || keyBody.MatchString(s.lines[line])
}

// sample is what documentation and tests write for a password.
var sample = regexp.MustCompile(`(?i)^(my|the|some)?[_-]?(passw(or)?d|pass|pw|pwd|secret|token|p|x|user|hunter2+|foo|bar|geheim)[0-9]?$`)

var (
	assignment = regexp.MustCompile(`^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*=\s*["']?([^"'\s#]+)`)
	field      = regexp.MustCompile(`^\s*(?:- )?["']?([A-Za-z_][A-Za-z0-9_.-]*)["']?:\s+["']?([^"'\s#|>&*{\[][^"'#]*)`)
)

// assignments looks at the lines of files in which each gives a value to a name.
func (s *scan) assignments(form *regexp.Regexp) {
	for i, line := range s.lines {
		if m := form.FindStringSubmatch(line); m != nil && secretName(m[1]) && !placeholder(m[2]) && !plainWord(m[1], m[2]) {
			s.report(i+1, m[1], "a value under the name of a secret", m[2])
		}
	}
}

var (
	secretWord = regexp.MustCompile(`(?i)(passw(or)?d|passphrase|^pass$|[_.-]pass$|pwd$|secret|token|credentials?$|(^|[_.-]|url|database)dsn$|(api|access|secret|private|encryption|signing|client|master)[_-]?key$)`)
	otherWord  = regexp.MustCompile(`(?i)(name|names|ref|refs|selector|path|file|files|dir|enabled|enable|required|type|key|length|size|ttl|seconds|timeout|expiry|expiration|duration|lifetime|url|uri|endpoint|issuer|provider|policy|mode|header|param|field|format|algorithm|version|mount|mounts|volume|volumes|store|namespace|kind|id|annotations?|labels?|hash|count|interval|template|prompt|hint|description|title|label|env|usage|namespaces)$`)
	keyWord    = regexp.MustCompile(`(?i)(api|access|secret|private|encryption|signing|client|master)[_-]?key$`)
	notValue   = regexp.MustCompile(`(?i)^(existing|shared|used|image|imagepull|pull|tls|superuser)[a-z]*secrets?$|^automount|^publi|csrf|checksum|digest`)
	keyName    = regexp.MustCompile(`^[a-z]+([-_.][a-z]+)*$`)
)

// secretName says whether what stands under a name is a secret, as far as the name tells.
func secretName(name string) bool {
	if !secretWord.MatchString(name) || notValue.MatchString(name) {
		return false
	}
	return keyWord.MatchString(name) || !otherWord.MatchString(name)
}

var stands = regexp.MustCompile(`(?i)^(\$\{.*|\$\(.*|\$[a-z_].*|<.*>|\[.*\]|%.*%|.*\{\{.*|x{3,}|\*{2,}|\.{3}|none|null|nil|true|false|-|replace[ _-]?me.*|change[ _-]?(me|it|this).*|your[ _-].*|to[ _-]?do|fill[ _-]?me.*|insert[ _-].*|example.*|placeholder.*|redacted|\(hidden\)|hidden|encrypted-.*|dummy.*)$`)

// placeholder says that a text stands for a secret that somebody or something puts in its place, or is encrypted.
func placeholder(text string) bool {
	text = strings.TrimSpace(text)
	return text == "" || stands.MatchString(text) || Sealed(text) || strings.HasPrefix(text, "ENC[") || strings.Contains(text, "${") || strings.Contains(text, "$(") ||
		verb.MatchString(text)
}

// verb is what a program replaces when it makes a text.
var verb = regexp.MustCompile(`%[sdqv]`)

var (
	number = regexp.MustCompile(`^[0-9]{1,3}[a-z]{0,2}$`)
	inPath = regexp.MustCompile(`^(/[\w.-]+)+/?$|^\.{1,2}/`)
)

// plainWord says that a text under the name of a secret is a short number, a path, or what a key is called after all.
func plainWord(name, text string) bool {
	return number.MatchString(text) || inPath.MatchString(text) || keyWord.MatchString(name) && keyName.MatchString(text)
}

// The least length and entropy, in bits for each character, of a text that looks random.
const (
	randomLength  = 24
	randomEntropy = 4.2
)

var (
	oneWord  = regexp.MustCompile(`^[0-9A-Za-z+/=_-]+$`)
	hexOnly  = regexp.MustCompile(`^[0-9a-fA-F-]+$`)
	upper    = regexp.MustCompile(`[A-Z]`)
	lower    = regexp.MustCompile(`[a-z]`)
	figure   = regexp.MustCompile(`[0-9]`)
	digested = regexp.MustCompile(`(?i)(digest|sha|hash|sum|commit|revision|bundle|cert|crt|public|pub|fingerprint|icon|nonce|salt|logo|image|signature|known_?hosts|recipient|data|checksum)`)
)

// random says whether a text looks as if a machine had drawn it: long, of one word, of letters and figures in disorder.
// Digests look so too, but are written with hexadecimal digits.
func random(name, text string) bool {
	if len(text) < randomLength || len(text) > 200 || digested.MatchString(name) || !oneWord.MatchString(text) || hexOnly.MatchString(text) || strings.Count(text, "/") > 2 || strings.Count(text, "-") > 3 {
		return false
	}
	return upper.MatchString(text) && lower.MatchString(text) && len(figure.FindAllString(text, -1)) > 2 && entropy(text) >= randomEntropy
}

func entropy(text string) float64 {
	counts := map[rune]float64{}
	for _, r := range text {
		counts[r]++
	}
	bits := 0.0
	for _, n := range counts {
		p := n / float64(len(text))
		bits -= p * math.Log2(p)
	}
	return bits
}
