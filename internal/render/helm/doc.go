// Package helm turns charts into Helm releases: it reads repositories, caches charts, validates values, and installs,
// upgrades and uninstalls releases that the stock helm command line sees as its own. It is the only home of the Helm SDK.
package helm
