package cli

import (
	"fmt"
	"slices"
	"strings"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	notificationv1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	"github.com/spf13/cobra"
)

func (c *creation) newAlert() *cobra.Command {
	spec := notificationv1beta3.AlertSpec{}
	var from []string
	cmd := c.command(alerts(), `  peyk create alert releases --provider-ref slack --event-source 'Kustomization/*' --event-severity error`, func(t target) (draft, error) {
		if spec.ProviderRef.Name == "" {
			return draft{}, usagef("give --provider-ref: who is told")
		}
		var err error
		if spec.EventSources, err = references(from); err != nil {
			return draft{}, fmt.Errorf("--event-source: %w", err)
		}
		return draft{object: &notificationv1beta3.Alert{ObjectMeta: t.meta(), Spec: spec}}, nil
	})
	flags := cmd.Flags()
	flags.StringVar(&spec.ProviderRef.Name, "provider-ref", "", "alert provider that is told")
	flags.StringVar(&spec.EventSeverity, "event-severity", "info", "info tells everything, error only what went wrong")
	flags.StringSliceVar(&from, "event-source", nil, "object that events come from, as Kind/name[.namespace]; the name may be *")
	return cmd
}

// references reads a list of Kind/name.namespace.
func references(texts []string) ([]notificationv1.CrossNamespaceObjectReference, error) {
	if len(texts) == 0 {
		return nil, usagef("name at least one object as Kind/name")
	}
	var all []notificationv1.CrossNamespaceObjectReference
	for _, text := range texts {
		of, name, namespace, err := parseReference(text, "")
		if err != nil {
			return nil, err
		}
		all = append(all, notificationv1.CrossNamespaceObjectReference{Kind: of, Name: name, Namespace: namespace})
	}
	return all, nil
}

func (c *creation) newProvider() *cobra.Command {
	spec := notificationv1beta3.ProviderSpec{}
	secret := ""
	cmd := c.command(providers(), `  peyk create alert-provider slack --type slack --channel general --secret-ref slack-token`, func(t target) (draft, error) {
		if spec.Type == "" {
			return draft{}, usagef("give --type: what kind of service is told, such as slack or generic")
		}
		spec.SecretRef = secretRef(secret)
		return draft{object: &notificationv1beta3.Provider{ObjectMeta: t.meta(), Spec: spec}}, nil
	})
	flags := cmd.Flags()
	flags.StringVar(&spec.Type, "type", "", "kind of service, such as slack, generic or github")
	flags.StringVar(&spec.Channel, "channel", "", "channel of a chat service")
	flags.StringVar(&spec.Username, "username", "", "name that messages come from")
	flags.StringVar(&spec.Address, "address", "", "address of the service, or of the Git repository")
	flags.StringVar(&secret, "secret-ref", "", "secret with a token or the address")
	return cmd
}

func (c *creation) newReceiver() *cobra.Command {
	spec := notificationv1.ReceiverSpec{}
	var resources []string
	secret := ""
	cmd := c.command(receivers(), `  peyk create receiver app --type github --event ping,push --secret-ref webhook-token --resource GitRepository/app`, func(t target) (draft, error) {
		types := receiverTypes()
		if !slices.Contains(types, spec.Type) {
			return draft{}, usagef("type %q: choose one of %s", spec.Type, strings.Join(types, ", "))
		}
		if secret == "" {
			return draft{}, usagef("give --secret-ref: 'peyk create secret receiver' makes one")
		}
		refs, err := references(resources)
		if err != nil {
			return draft{}, fmt.Errorf("--resource: %w", err)
		}
		spec.Resources = nil
		for _, ref := range refs {
			spec.Resources = append(spec.Resources, notificationv1.ReceiverResource{CrossNamespaceObjectReference: ref})
		}
		spec.SecretRef = secretRef(secret)
		return draft{object: &notificationv1.Receiver{ObjectMeta: t.meta(), Spec: spec}}, nil
	})
	flags := cmd.Flags()
	flags.StringVar(&spec.Type, "type", "", "who calls: "+strings.Join(receiverTypes(), ", "))
	flags.StringVar(&secret, "secret-ref", "", "secret with the token of the webhook")
	flags.StringSliceVar(&spec.Events, "event", nil, "events that count, such as push (default: all)")
	flags.StringSliceVar(&resources, "resource", nil, "object that is reconciled, as Kind/name[.namespace]")
	return cmd
}

func receiverTypes() []string {
	return []string{
		notificationv1.GenericReceiver, notificationv1.GenericHMACReceiver, notificationv1.GitHubReceiver, notificationv1.GitLabReceiver,
		notificationv1.BitbucketReceiver, notificationv1.HarborReceiver, notificationv1.DockerHubReceiver, notificationv1.QuayReceiver,
		notificationv1.GCRReceiver, notificationv1.NexusReceiver, notificationv1.ACRReceiver, notificationv1.CDEventsReceiver,
	}
}
