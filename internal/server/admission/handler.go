package admission

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// Verdict is what was found out about an object.
type Verdict struct {
	// Problems keep it out: each names the field, says what is wrong and what to do.
	Problems []string
	// Warnings are shown to whoever applies it.
	Warnings []string
}

// Check looks at one object. It changes nothing, here or in the cluster, and returns in time for ctx.
type Check func(ctx context.Context, object []byte) Verdict

// Rule says how objects of a kind are checked.
type Rule struct {
	// Spec is asked when spec was changed. Nil: what the definition of the kind says is enough.
	Spec Check
	// Annotation is the one that Value is asked about when it was changed. Empty: none is.
	Annotation string
	Value      func(string) error
}

// patience is how long a check may take: it is less than the API server waits, which then would let the object in unchecked.
const patience = 3 * time.Second

// Handler serves admission reviews of the kinds in rules. Other kinds are let in.
func Handler(rules map[schema.GroupKind]Rule, log *slog.Logger) http.Handler {
	recoverPanic := true
	return &admission.Webhook{RecoverPanic: &recoverPanic, Handler: admission.HandlerFunc(func(ctx context.Context, r admission.Request) admission.Response {
		kind := schema.GroupKind{Group: r.Kind.Group, Kind: r.Kind.Kind}
		rule, known := rules[kind]
		if !known || r.SubResource != "" || r.Operation != admissionv1.Create && r.Operation != admissionv1.Update {
			return admission.Allowed("")
		}
		verdict, err := rule.judge(ctx, r)
		if err != nil {
			log.WarnContext(ctx, "let an object in unchecked", "kind", kind.Kind, "namespace", r.Namespace, "name", r.Name, "err", err)
			return admission.Allowed("")
		}
		if len(verdict.Problems) == 0 {
			return admission.Allowed("").WithWarnings(verdict.Warnings...)
		}
		log.InfoContext(ctx, "refused an object", "kind", kind.Kind, "namespace", r.Namespace, "name", r.Name, "problems", len(verdict.Problems))
		return refused(verdict)
	})}
}

// partial is what rules look at first. Everything else of an object is left to its check.
type partial struct {
	Metadata struct {
		UID               types.UID         `json:"uid"`
		DeletionTimestamp *metav1.Time      `json:"deletionTimestamp"`
		Annotations       map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec any `json:"spec"`
}

func (rule Rule) judge(ctx context.Context, r admission.Request) (Verdict, error) {
	var before, after partial
	if err := json.Unmarshal(r.Object.Raw, &after); err != nil {
		return Verdict{}, fmt.Errorf("reading the object: %w", err)
	}
	if after.Metadata.DeletionTimestamp != nil {
		return Verdict{}, nil
	}
	update := r.Operation == admissionv1.Update
	if update {
		if err := json.Unmarshal(r.OldObject.Raw, &before); err != nil {
			return Verdict{}, fmt.Errorf("reading the object as it was: %w", err)
		}
	}
	var verdict Verdict
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// What was let in once can always be labelled, annotated and finished, whatever became of its chart since.
	if rule.Spec != nil && !(update && equality.Semantic.DeepEqual(before.Spec, after.Spec)) {
		verdict = rule.Spec(ctx, r.Object.Raw)
	}
	value, set := after.Metadata.Annotations[rule.Annotation]
	was, had := before.Metadata.Annotations[rule.Annotation]
	if rule.Annotation != "" && set && (!had || value != was) {
		if err := rule.Value(value); err != nil {
			verdict.Problems = append(verdict.Problems, "metadata.annotations: "+err.Error())
		}
	}
	return verdict, nil
}

// refused is the answer that names every problem, as the API server does it for kinds of its own.
func refused(v Verdict) admission.Response {
	causes := make([]metav1.StatusCause, len(v.Problems))
	message := v.Problems[0]
	for i, problem := range v.Problems {
		causes[i] = metav1.StatusCause{Type: metav1.CauseTypeFieldValueInvalid, Message: problem}
		if i > 0 {
			message += "; " + problem
		}
	}
	return admission.Response{AdmissionResponse: admissionv1.AdmissionResponse{
		Warnings: v.Warnings,
		Result: &metav1.Status{
			Status: metav1.StatusFailure, Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid,
			Message: message, Details: &metav1.StatusDetails{Causes: causes},
		},
	}}
}
