// Everything that the watcher needs in Azure Functions, in a resource group of its own. `azd up` reads this file with
// main.parameters.json; no secret is in either, and none is made.
targetScope = 'subscription'

@description('Name of the azd environment; names and tags are made of it.')
@minLength(1)
@maxLength(40)
param environmentName string

@description('Region. It must offer Flex Consumption.')
@minLength(1)
param location string

@description('Registry URI as MLflow takes it, for MLFLOW_REGISTRY_URI in watch.yaml. No password belongs in it.')
param registryUri string = ''

@description('A Key Vault that exists and holds the secrets; empty: none, and the webhooks are not there.')
param keyVaultName string = ''

@description('Its resource group.')
param keyVaultResourceGroup string = ''

@description('More app settings that are secrets of that vault: name of the setting -> name of the secret.')
param vaultSettings object = {}

@description('More app settings, none of them secret: name -> value.')
param plainSettings object = {}

@allowed(['3.11', '3.12', '3.13'])
param pythonVersion string = '3.12'

var token = uniqueString(subscription().id, environmentName, location)
var tags = { 'azd-env-name': environmentName }

resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: 'rg-watcher-${environmentName}'
  location: location
  tags: tags
}

module identity 'identity.bicep' = {
  name: 'watcher-identity'
  scope: group
  params: {
    location: location
    tags: tags
    token: token
  }
}

// Before the app, which looks for its secrets as soon as it is there.
module vault 'vault.bicep' = if (!empty(keyVaultName)) {
  name: 'watcher-vault'
  scope: resourceGroup(empty(keyVaultResourceGroup) ? group.name : keyVaultResourceGroup)
  params: {
    keyVaultName: keyVaultName
    principalId: identity.outputs.principalId
  }
}

module app 'app.bicep' = {
  name: 'watcher-app'
  scope: group
  params: {
    location: location
    tags: tags
    token: token
    identityName: identity.outputs.name
    registryUri: registryUri
    keyVaultName: keyVaultName
    vaultSettings: vaultSettings
    plainSettings: plainSettings
    pythonVersion: pythonVersion
  }
  dependsOn: [vault]
}

output AZURE_RESOURCE_GROUP string = group.name
output WATCHER_NAME string = app.outputs.name
output WATCHER_URL string = app.outputs.url
