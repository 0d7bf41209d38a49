package git

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha1" //nolint:gosec // packs end in this checksum
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// looseObject is an object that the server does not have yet.
type looseObject struct {
	kind plumbing.ObjectType
	data []byte
}

// NewCommit says what to write in a commit.
type NewCommit struct {
	Author, Committer Signature
	When              time.Time
	Message           string
	// Sign signs the commit, if it is set.
	Sign Signer
}

// Signer makes the signature of a commit's content, in armor.
type Signer interface {
	Sign(content []byte) (string, error)
}

// Write puts a file into the tree of the next commit. Nil data removes it. It says whether that changes anything.
func (b *Branch) Write(name string, data []byte) (changed bool, err error) {
	parts, err := elements(name)
	if err != nil {
		return false, err
	}
	if len(data) > MaxFile {
		return false, errorf(Refused, "%q would have more than %s; this is refused", name, sizeOf(MaxFile))
	}
	old, found, err := b.Read(name)
	if err != nil {
		return false, err
	}
	if found == (data != nil) && bytes.Equal(old, data) {
		return false, nil
	}
	top, err := b.top()
	if err != nil {
		return false, err
	}
	_, err = b.put(top, parts, data)
	return err == nil, err
}

// put changes one file below a folder and returns the folder's new hash.
func (b *Branch) put(in *folder, parts []string, data []byte) (plumbing.Hash, error) {
	name := parts[0]
	entry := find(&in.tree, name)
	switch {
	case len(parts) > 1:
		child := &folder{}
		if entry.Name != "" {
			var err error
			if child, err = b.into(in, entry); err != nil {
				return plumbing.ZeroHash, err
			}
		}
		hash, err := b.put(child, parts[1:], data)
		if err != nil {
			return hash, err
		}
		in.adopt(name, child)
		if len(child.tree.Entries) == 0 {
			delete(in.below, name)
			in.remove(name)
		} else {
			in.set(object.TreeEntry{Name: name, Mode: filemode.Dir, Hash: hash})
		}
	case data == nil:
		in.remove(name)
	default:
		mode := filemode.Regular
		if entry.Mode == filemode.Executable {
			mode = entry.Mode
		}
		hash := b.add(plumbing.BlobObject, data)
		delete(b.blobs, entry.Hash)
		b.blobs[hash] = data
		in.set(object.TreeEntry{Name: name, Mode: mode, Hash: hash})
	}
	return b.add(plumbing.TreeObject, in.encode()), nil
}

func (f *folder) remove(name string) {
	for i, entry := range f.tree.Entries {
		if entry.Name == name {
			f.tree.Entries = append(f.tree.Entries[:i:i], f.tree.Entries[i+1:]...)
			return
		}
	}
}

func (f *folder) set(entry object.TreeEntry) {
	for i := range f.tree.Entries {
		if f.tree.Entries[i].Name == entry.Name {
			f.tree.Entries[i] = entry
			return
		}
	}
	f.tree.Entries = append(f.tree.Entries[:len(f.tree.Entries):len(f.tree.Entries)], entry)
	sort.Sort(object.TreeEntrySorter(f.tree.Entries))
}

func (f *folder) encode() []byte {
	var buf bytes.Buffer
	for _, entry := range f.tree.Entries {
		fmt.Fprintf(&buf, "%o %s", uint32(entry.Mode), entry.Name)
		buf.WriteByte(0)
		buf.Write(entry.Hash[:])
	}
	return buf.Bytes()
}

func (b *Branch) add(kind plumbing.ObjectType, data []byte) plumbing.Hash {
	b.fresh = append(b.fresh, looseObject{kind, data})
	return plumbing.ComputeHash(kind, data)
}

// Commit makes a commit of what was written since the last one, on top of it, and returns its hash.
func (b *Branch) Commit(c NewCommit) (string, error) {
	top, err := b.top()
	if err != nil {
		return "", err
	}
	tree := top.encode()
	// The server may have this tree already; sending it twice harms nobody. Without any file it has to be sent.
	if len(top.tree.Entries) == 0 {
		b.add(plumbing.TreeObject, tree)
	}
	var head, tail strings.Builder
	fmt.Fprintf(&head, "tree %s\n", plumbing.ComputeHash(plumbing.TreeObject, tree))
	if !b.tip.IsZero() {
		fmt.Fprintf(&head, "parent %s\n", b.tip)
	}
	fmt.Fprintf(&head, "author %s\ncommitter %s\n", c.Author.line(c.When), c.Committer.line(c.When))
	tail.WriteString("\n" + strings.TrimRight(c.Message, "\n") + "\n")
	if c.Sign != nil {
		armor, err := c.Sign.Sign([]byte(head.String() + tail.String()))
		if err != nil {
			return "", fmt.Errorf("signing the commit: %w", err)
		}
		head.WriteString("gpgsig " + strings.ReplaceAll(strings.TrimRight(armor, "\n"), "\n", "\n ") + "\n")
	}
	b.tip = b.add(plumbing.CommitObject, []byte(head.String()+tail.String()))
	return b.tip.String(), nil
}

// line writes a signature as a commit has it. What would end the name or the line is left out.
func (s Signature) line(when time.Time) string {
	clean := strings.NewReplacer("<", "", ">", "", "\n", " ", "\r", "", "\x00", "")
	return fmt.Sprintf("%s <%s> %d %s", strings.TrimSpace(clean.Replace(s.Name)), strings.TrimSpace(clean.Replace(s.Email)), when.Unix(), when.Format("-0700"))
}

// Push sends the commits that are not pushed, if the branch is still where Sync or the last Push found it. A
// *RefusedPushError says that the server did not move the branch, an *Error that nothing was sent; after any other error
// only Look can tell.
func (b *Branch) Push(ctx context.Context, options []string) error {
	if b.tip == b.head {
		return nil
	}
	pack, err := encodePack(b.fresh)
	if err != nil {
		return err
	}
	has, err := b.mirrors.push(ctx, b.remote, b.has, update{name: headPrefix + b.name, old: b.head, new: b.tip, options: options, pack: pack})
	if b.has = has; err != nil {
		return err
	}
	b.Accepted()
	return nil
}

// Accepted tells that the server has the commits.
func (b *Branch) Accepted() {
	b.head, b.fresh = b.tip, nil
	size := 0
	for _, data := range b.blobs {
		size += len(data)
	}
	// The mirror does not have what was written here. When that is too much to hold, the next Sync fetches it.
	const most = 64 << 20
	if size > most {
		b.Distrust()
	}
}

// Distrust makes the next Sync read everything anew.
func (b *Branch) Distrust() {
	_ = b.forget()
	b.head, b.tip = plumbing.ZeroHash, plumbing.ZeroHash
}

// IsBroken says whether err comes from a mirror that lost something; Distrust and Sync mend that.
func IsBroken(err error) bool { return errors.Is(err, errBroken) }

// encodePack writes objects as a pack, each once.
func encodePack(objects []looseObject) ([]byte, error) {
	seen := make(map[plumbing.Hash]bool, len(objects))
	var body bytes.Buffer
	z, err := zlib.NewWriterLevel(io.Discard, zlib.BestSpeed)
	if err != nil {
		return nil, err
	}
	for _, o := range objects {
		hash := plumbing.ComputeHash(o.kind, o.data)
		if seen[hash] {
			continue
		}
		seen[hash] = true
		body.Write(entryHead(o.kind, len(o.data)))
		z.Reset(&body)
		if _, err := z.Write(o.data); err != nil {
			return nil, err
		}
		if err := z.Close(); err != nil {
			return nil, err
		}
	}
	pack := append([]byte("PACK"), 0, 0, 0, 2)
	pack = binary.BigEndian.AppendUint32(pack, uint32(len(seen))) //nolint:gosec // far fewer than 4 billion
	pack = append(pack, body.Bytes()...)
	sum := sha1.Sum(pack) //nolint:gosec // see the import
	return append(pack, sum[:]...), nil
}

// entryHead is the kind and the size of an object in a pack: four bits of the size in the first byte, seven in each next.
func entryHead(kind plumbing.ObjectType, size int) []byte {
	first := byte(kind)<<4 | byte(size&0x0f)
	size >>= 4
	var head []byte
	for size > 0 {
		head = append(head, first|0x80)
		first = byte(size & 0x7f)
		size >>= 7
	}
	return append(head, first)
}

func contentOf(encoded plumbing.EncodedObject) ([]byte, error) {
	r, err := encoded.Reader()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}
