package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	renderv1 "github.com/peyk/peyk/api/render/v1alpha1"
	rules "github.com/peyk/peyk/internal/pack"
	"github.com/peyk/peyk/internal/writeback/yamlfile"
)

// errNoReview says that the cluster's Peyk does not render for users.
var errNoReview = errors.New("Peyk does not answer for the API group render.peyk.dev: it is not installed, too old, or not running: see 'peyk check', 'kubectl get apiservice v1alpha1.render.peyk.dev' and 'peyk install'")

func (a *App) newPackTemplate() *cobra.Command {
	var file, output string
	cmd := &cobra.Command{
		Use: "template [NAME]", Short: "Show what a Pack renders to", Args: wants(cobra.MaximumNArgs(1)), ValidArgsFunction: a.completeNames(1, packs()),
		Long: `Show the objects that a Pack renders to. The operator renders it, in the cluster and with the rights that it has for the
namespace, so neither access to the charts nor vault keys are needed here. Values of Secrets and decrypted texts are hidden,
hooks are left out, nothing is changed. The user needs the right to create packreviews.render.peyk.dev in the namespace.`,
		Example: `  peyk pack template sample-app -n base

  # a Pack that is not in the cluster
  peyk pack template -f sample-app.pack.yaml -o rendered.yaml`,
		RunE: func(cmd *cobra.Command, args []string) error {
			status, err := a.review(cmd, args, file, false)
			if err != nil {
				return err
			}
			return writeResult(cmd, output, func(out io.Writer) error {
				_, err := io.WriteString(out, status.Manifests)
				return err
			})
		},
	}
	packFileFlag(cmd, &file)
	outFileFlag(cmd, &output, "o")
	return cmd
}

func (a *App) newPackDiff() *cobra.Command {
	format := "text"
	cmd := a.packDiff(&format, "")
	cmd.Flags().StringVarP(&format, "output", "o", format, "text, json or yaml")
	return cmd
}

// packDiff makes the command without the flag for the format. The short form of --outfile may be none.
func (a *App) packDiff(format *string, short string) *cobra.Command {
	var file, output string
	cmd := &cobra.Command{
		Use: "diff [NAME]", Short: "Show what a Pack would change in the cluster", Args: wants(cobra.MaximumNArgs(1)), ValidArgsFunction: a.completeNames(1, packs()),
		Long: `Show what applying a Pack would change in the cluster: what somebody changed by hand and, with --packfile, what the file
would do before it is committed. The operator renders and compares, in the cluster and with the rights that it has for the
namespace. Values of Secrets and decrypted texts are hidden, hooks are left out, nothing is changed. The user needs the right
to create packreviews.render.peyk.dev in the namespace.

` + diffExits,
		Example: `  peyk pack diff sample-app -n base

  # before you commit
  peyk pack diff -f sample-app.pack.yaml`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkFormat(*format, "text", "json", "yaml"); err != nil {
				return err
			}
			status, err := a.review(cmd, args, file, true)
			if err != nil {
				return asTrouble(err)
			}
			return asTrouble(writeResult(cmd, output, func(out io.Writer) error { return a.tellChanges(out, *format, status.Changes) }))
		},
	}
	packFileFlag(cmd, &file)
	outFileFlag(cmd, &output, short)
	return cmd
}

func outFileFlag(cmd *cobra.Command, output *string, short string) {
	cmd.Flags().StringVarP(output, "outfile", short, "", "file to write to (default: the output)")
}

// writeResult has a result written to a file, or to the output when none is named.
func writeResult(cmd *cobra.Command, file string, write func(io.Writer) error) error {
	if file == "" || file == "-" {
		return write(cmd.OutOrStdout())
	}
	var text bytes.Buffer
	result := write(&text)
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		return fmt.Errorf("writing the result: %w: name another file with --outfile", err)
	}
	return result
}

func packFileFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "packfile", "f", "", "file with the Pack as it is to become, - for the input; with several Packs in it, NAME says which")
}

func (a *App) tellChanges(out io.Writer, format string, changes []renderv1.PackChange) error {
	if format != "text" {
		if err := writeValue(out, format, append([]renderv1.PackChange{}, changes...)); err != nil {
			return err
		}
	}
	say, found := newPrinter(out, a.plain), false
	for _, change := range changes {
		found = found || change.Action != "skipped"
		if format != "text" {
			continue
		}
		say.Action("%s %s", change.Object, change.Action)
		if _, err := io.WriteString(out, change.Difference); err != nil {
			return err
		}
	}
	if found {
		return errDiffers
	}
	return nil
}

// review asks the operator about the Pack of that name, or about the one in the file.
func (a *App) review(cmd *cobra.Command, args []string, file string, diff bool) (*renderv1.PackReviewStatus, error) {
	if file == "" && len(args) == 0 {
		return nil, usagef("name a Pack, or give a file with --packfile")
	}
	review := &renderv1.PackReview{Spec: renderv1.PackReviewSpec{Diff: diff}}
	if file == "" {
		review.Spec.Name = args[0]
	} else {
		var err error
		if review.Spec.Pack, err = readPack(cmd.InOrStdin(), file, strings.Join(args, "")); err != nil {
			return nil, err
		}
	}
	cluster, err := a.connect()
	if err != nil {
		return nil, err
	}
	review.Namespace = cluster.Namespace
	if pack := review.Spec.Pack; pack != nil {
		if a.access.Namespace != "" && pack.Namespace != "" && pack.Namespace != a.access.Namespace {
			return nil, usagef("--namespace %s: the Pack in the file is in the namespace %s", a.access.Namespace, pack.Namespace)
		}
		review.Namespace = cmp.Or(pack.Namespace, cluster.Namespace)
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), a.limit)
	defer cancel()
	err = cluster.Client.Create(ctx, review)
	return &review.Status, explainReview(err, review)
}

// explainReview tells a Peyk that does not answer from a Pack that is not there.
func explainReview(err error, review *renderv1.PackReview) error {
	switch named := review.Spec.Name; {
	case err == nil:
		return nil
	case apierrors.IsNotFound(err) && named != "" && detailsKind(err) == "packs":
		return notFoundError{fmt.Errorf("there is no Pack %q in the namespace %q", named, review.Namespace)}
	case unknownKind(err), apierrors.IsNotFound(err), apierrors.IsServiceUnavailable(err):
		return fmt.Errorf("%w (%w)", errNoReview, err)
	}
	return fmt.Errorf("rendering the Pack: %w", err)
}

// detailsKind is the kind that a refusal of the API server is about.
func detailsKind(err error) string {
	status := apierrors.APIStatus(nil)
	if errors.As(err, &status) && status.Status().Details != nil {
		return status.Status().Details.Kind
	}
	return ""
}

// readPack reads a Pack from a file; with a name, the one of that name.
func readPack(in io.Reader, file, name string) (*packv1.Pack, error) {
	text, err := os.ReadFile(file)
	if file == "-" {
		text, err = io.ReadAll(in)
	}
	if err != nil {
		return nil, usagef("--packfile: %w", err)
	}
	if err := rules.CheckBlanks(text); err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	documents, err := yamlfile.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	var found []*packv1.Pack
	for _, document := range documents {
		object := &unstructured.Unstructured{Object: document}
		if object.GetKind() != packv1.PackKind || name != "" && object.GetName() != name {
			continue
		}
		pack := &packv1.Pack{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(document, pack, true); err != nil {
			return nil, fmt.Errorf("reading the Pack in %s: %w", file, err)
		}
		found = append(found, &packv1.Pack{ObjectMeta: metav1.ObjectMeta{Namespace: pack.Namespace, Name: pack.Name}, Spec: pack.Spec})
	}
	switch {
	case len(found) == 0 && name != "":
		return nil, fmt.Errorf("%s holds no Pack %q", file, name)
	case len(found) == 0:
		return nil, fmt.Errorf("%s holds no Pack", file)
	case len(found) > 1:
		return nil, usagef("%s holds %d Packs: name one", file, len(found))
	}
	return found[0], nil
}
