// Only a file of the module is used, the definition of Certificates: nothing of it is built.
module tierup.local/tools/cert-manager

go 1.26

require github.com/cert-manager/cert-manager v1.21.2
